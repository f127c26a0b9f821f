/**
 * `matrix-knock knock`: be the remote side of one knock and tell each step.
 * https://spec.matrix.org/latest/server-server-api/#knocking-upon-a-room
 */
import { type EventId, parseServerName, type ServerName } from '../../matrix/identifiers.ts'
import type { JsonObject } from '../../matrix/json.ts'
import { printable } from '../../observability/visible.ts'
import { fetchUnsigned, type Reply, type Requester, sendSigned, type Via } from './client.ts'
import { checkRoomState, checkTemplate, signKnock, type WantedKnock } from './event.ts'
import { type KeyServer, type KeyServerOptions, startKeyServer } from './key-server.ts'

export interface Knock extends WantedKnock {
  readonly requester: Requester
  readonly via: Via
  /** The resident's server name, where it is known: else it is found out. */
  readonly destination: ServerName | undefined
  readonly keyServer: Omit<KeyServerOptions, 'onAsked'>
}

/** Takes one line of the account. */
export type Tell = (line: string) => void

/**
 * Knocks: publishes the key, asks for a template, checks and signs it, sends it, checks the answer.
 * @param now milliseconds since the epoch
 * @returns 0 when the knock was accepted and the answer is as it should be, else 1
 */
export async function knock(order: Knock, now: number, tell: Tell): Promise<0 | 1> {
  const { requester, keyServer } = order
  const onAsked = (address: string): void => tell(`           ${address} asks for our key`)
  let server: KeyServer
  try {
    server = await startKeyServer(requester, { ...keyServer, onAsked }, now)
  } catch (error) {
    tell(`key        cannot be served at ${keyServer.host}:${keyServer.port}: ${(error as Error).message}`)
    return 1
  }
  try {
    tell(
      `key        ${requester.key.keyId} of ${requester.serverName} is served at ${keyServer.host}:${keyServer.port}`,
    )
    const accepted = await shakeHands(order, tell)
    tell(accepted ? 'accepted' : 'refused')
    return accepted ? 0 : 1
  } finally {
    await server.close()
  }
}

async function shakeHands(order: Knock, tell: Tell): Promise<boolean> {
  const made = await makeKnock(order, tell)
  if (made === undefined) return false
  const template = checkTemplate(made.body, order)
  if (!template.ok) {
    tell(`template   thrown away: ${printable(template.reason)}`)
    return false
  }
  tell(`template   room version ${template.version.id}; room, sender, type and membership are what was asked for`)
  const signed = signKnock(template.event, template.version, order.reason, order.requester)
  if (!signed.ok) {
    tell(`template   thrown away: ${printable(signed.reason)}`)
    return false
  }
  tell(`event      ${signed.eventId}, hashed and signed`)
  const body = await sendKnock(order, made.destination, signed, tell)
  if (body === undefined) return false
  const state = checkRoomState(body, template.version, order.roomId)
  for (const { type, eventId, flaw } of state.entries) tell(`           ${printable(type)} ${flaw ?? eventId}`)
  if (state.flaw !== undefined) tell(`state      the knock was taken, but ${state.flaw}`)
  return state.flaw === undefined
}

interface Made {
  readonly body: JsonObject | undefined
  /** The name under which the resident answered. */
  readonly destination: ServerName
}

/** Names that the resident may go by that are tried. */
const MOST_DESTINATIONS = 5

/** Asks for a template, under each name that the resident may go by until one is not refused with 401. */
async function makeKnock(order: Knock, tell: Tell): Promise<Made | undefined> {
  const { requester, via, roomId, userId, versions } = order
  const query = versions.map((version) => `ver=${encodeURIComponent(version)}`).join('&')
  const path = `${encodeURIComponent(roomId)}/${encodeURIComponent(userId)}`
  const target = `/_matrix/federation/v1/make_knock/${path}?${query}`
  const destinations = new Set(await likelyDestinations(order))
  // A set hands out what is added to it while it is walked.
  for (const destination of destinations) {
    tell(`make_knock GET ${target}`)
    tell(`           as ${requester.serverName} to ${destination}`)
    const reply = await sendSigned(requester, via, destination, { method: 'GET', target })
    tell(`           ${describe(reply)}`)
    if (isOk(reply)) return { body: reply.body, destination }
    if (reply.kind === 'failed' || reply.status !== 401) return undefined
    const [, told = ''] = /^X-Matrix .*destination="([^"]+)"/i.exec(reply.challenge ?? '') ?? []
    const named = order.destination === undefined ? parseServerName(told) : undefined
    if (named !== undefined && destinations.size < MOST_DESTINATIONS) destinations.add(named)
  }
  return undefined
}

/**
 * What a signed request names as its destination is the resident's server name, and a URL does not tell it. In this
 * order: as given; as the key endpoint says; the domain of the room id, where it has one; the host of the URL; as the
 * resident itself says when it is called by another.
 */
async function likelyDestinations({ via, destination, roomId }: Knock): Promise<readonly ServerName[]> {
  if (destination !== undefined) return [destination]
  const reply = await fetchUnsigned(via, '/_matrix/key/v2/server')
  const published = reply.kind === 'answered' && reply.status === 200 ? reply.body?.server_name : undefined
  const domain = roomId.includes(':') ? roomId.slice(roomId.indexOf(':') + 1) : undefined
  const names = [published, domain, via.base.host].flatMap((name) =>
    typeof name === 'string' ? (parseServerName(name) ?? []) : [],
  )
  return [...new Set(names)]
}

async function sendKnock(
  { requester, via, roomId }: Knock,
  destination: ServerName,
  { eventId, pdu }: { eventId: EventId; pdu: JsonObject },
  tell: Tell,
): Promise<JsonObject | undefined> {
  const target = `/_matrix/federation/v1/send_knock/${encodeURIComponent(roomId)}/${encodeURIComponent(eventId)}`
  tell(`send_knock PUT ${target}`)
  const reply = await sendSigned(requester, via, destination, { method: 'PUT', target, content: pdu })
  tell(`           ${describe(reply)}`)
  return isOk(reply) ? (reply.body ?? {}) : undefined
}

function isOk(reply: Reply): reply is Reply & { kind: 'answered'; status: 200 } {
  return reply.kind === 'answered' && reply.status === 200
}

function describe(reply: Reply): string {
  if (reply.kind === 'failed') return `no answer: ${reply.reason}`
  if (reply.status === 200) return '200'
  const { errcode, error } = reply.body ?? {}
  return printable(`${reply.status} ${errcode ?? '(no errcode)'}: ${error ?? '(no error)'}`)
}
