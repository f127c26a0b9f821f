/**
 * A third server in the rooms of a real homeserver: the fake homeserver, which joins and knocks with requests and events
 * that it signs itself, and takes what is sent and asked of it.
 * https://spec.matrix.org/latest/server-server-api/
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { CertificateAuthority } from '../../support/certificates.ts'
import {
  eventSignable,
  finishEvent,
  KNOCKABLE_VERSIONS,
  type SignedEvent,
  type TestedVersion,
} from '../../support/events.ts'
import { type FakeHomeserver, startFakeHomeserver } from '../../support/fake-homeserver.ts'
import type { Answer } from '../../support/http-client.ts'
import { sendJson } from '../../support/key-server.ts'
import { makeKnockPath, sendKnockPath } from '../../support/remote-knocker.ts'
import { type Identity, type JsonRecord, withSignature } from '../../support/signing.ts'
import { type Person, person } from '../../support/test-room.ts'
import type { Homeserver } from './homeserver.ts'
import { sendSigned } from './web-request.ts'

export interface RemoteServer {
  readonly identity: Identity
  /** What it received, and what was wrong with that. */
  readonly homeserver: FakeHomeserver
  /** Invitations that arrived. */
  readonly invites: readonly JsonRecord[]
  person(localpart: string): Person
  /** Joins through a homeserver that is in the room, over its public name. @throws Error where it refuses */
  join(resident: Homeserver, roomId: string, who: Person): Promise<SignedEvent>
  /** Leaves as one who joined, was invited or knocked. @throws Error where the homeserver refuses */
  leave(resident: Homeserver, roomId: string, who: Person): Promise<SignedEvent>
  makeKnock(resident: Homeserver, roomId: string, who: Person): Promise<Answer>
  /** Signs a template as its own event. @param changes of the event, before it is hashed and signed */
  sign(template: JsonRecord, version: TestedVersion, changes?: JsonRecord): SignedEvent
  sendKnock(resident: Homeserver, roomId: string, event: SignedEvent): Promise<Answer>
  /** Sends any request to a homeserver's public name. */
  request(resident: Homeserver, method: string, path: string, content?: JsonRecord): Promise<Answer>
  /** Ids of the events that were sent to it in transactions. */
  receivedIds(): readonly string[]
  close(): Promise<void>
}

/**
 * Starts the server on 127.0.0.1.
 * @param residents the homeservers that may send to it
 */
export async function startRemoteServer(
  authority: CertificateAuthority,
  residents: readonly Homeserver[],
): Promise<RemoteServer> {
  const versions = new Map<string, TestedVersion>()
  const invites: JsonRecord[] = []
  const homeserver: FakeHomeserver = await startFakeHomeserver({
    authority,
    versionOf: (roomId) => versions.get(roomId),
    publicKeyOf: (server, keyId) =>
      residents.find(({ name, identity }) => name === server && identity.keyId === keyId)?.identity.publicKey,
    answerOther(request, response) {
      answerInvite(request, response, homeserver.identity, invites).catch(() => response.destroy())
    },
  })
  const { identity } = homeserver
  const request = (resident: Homeserver, method: string, path: string, content?: JsonRecord): Promise<Answer> =>
    sendSigned({ url: resident.federationUrl, ca: authority.cert }, identity, resident.name, method, path, content)
  const membership = async (verb: Verb, resident: Homeserver, roomId: string, who: Person): Promise<SignedEvent> => {
    const made = good(
      await request(resident, 'GET', membershipPath(`make_${verb}`, roomId, who.id, KNOCKABLE_VERSIONS)),
    )
    const version = String(made.room_version) as TestedVersion
    versions.set(roomId, version)
    const event = sign(made.event as JsonRecord, version, identity)
    good(await request(resident, 'PUT', membershipPath(`send_${verb}`, roomId, event.eventId), event.pdu))
    return event
  }
  return {
    identity,
    homeserver,
    invites,
    person: (localpart) => person(localpart, identity),
    join: (resident, roomId, who) => membership('join', resident, roomId, who),
    leave: (resident, roomId, who) => membership('leave', resident, roomId, who),
    async makeKnock(resident, roomId, who) {
      const answer = await request(resident, 'GET', makeKnockPath(roomId, who.id, ...KNOCKABLE_VERSIONS))
      if (answer.status === 200) versions.set(roomId, String(answer.body.room_version) as TestedVersion)
      return answer
    },
    sign: (template, version, changes = {}) => sign({ ...template, ...changes }, version, identity),
    sendKnock: (resident, roomId, { eventId, pdu }) => request(resident, 'PUT', sendKnockPath(roomId, eventId), pdu),
    request,
    receivedIds: () => homeserver.received.flatMap(({ eventIds }) => eventIds),
    close: () => homeserver.close(),
  }
}

type Verb = 'join' | 'leave'

function sign(draft: JsonRecord, version: TestedVersion, identity: Identity): SignedEvent {
  return finishEvent({ ...draft, origin_server_ts: Date.now() }, version, identity)
}

function membershipPath(call: string, roomId: string, last: string, versions: readonly string[] = []): string {
  const api = call.startsWith('send_') ? 'v2' : 'v1'
  const query = versions.map((version) => `ver=${version}`).join('&')
  const path = `/_matrix/federation/${api}/${call}/${encodeURIComponent(roomId)}/${encodeURIComponent(last)}`
  return query === '' ? path : `${path}?${query}`
}

function good({ status, body, text }: Answer): JsonRecord {
  if (status !== 200) throw new Error(`the homeserver answered ${status} ${text}`)
  return body
}

/** https://spec.matrix.org/latest/server-server-api/#put_matrixfederationv2inviteroomideventid */
async function answerInvite(
  request: IncomingMessage,
  response: ServerResponse,
  identity: Identity,
  invites: JsonRecord[],
): Promise<void> {
  if (request.method !== 'PUT' || !request.url?.startsWith('/_matrix/federation/v2/invite/')) {
    sendJson(response, 404, { errcode: 'M_UNRECOGNIZED', error: 'no such endpoint' })
    return
  }
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const { event, room_version } = JSON.parse(Buffer.concat(chunks).toString()) as { [key: string]: JsonRecord }
  if (event === undefined) throw new Error('an invitation without an event')
  invites.push(event)
  const text = eventSignable(event, String(room_version) as TestedVersion)
  sendJson(response, 200, { event: withSignature(event, identity, text) })
}
