/**
 * The homeserver next door on loopback, as Synapse and Dendrite answer their own name: docs/homeservers.md says what was
 * measured. It has rooms told as stories, tells an application service of them, and fails in every way that tests ask for.
 * It shares no code with what it tests.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { idOf } from './events.ts'
import { type Fault, sendFaulty } from './faulty-answer.ts'
import { type Answer, exchange } from './http-client.ts'
import { sendJson } from './key-server.ts'
import { type Asked, type Call, type Character, READ, refuses, type Told } from './resident-answers.ts'
import { clientEvent, type ResidentRoom, receive, residentRoom, tipsOf, type Verdict } from './resident-rooms.ts'
import { canonical, type Identity, type JsonRecord, verifyText } from './signing.ts'
import { continueRoom, type Line, type TestRoom } from './test-room.ts'

export interface ReceivedRequest {
  readonly call: Call | undefined
  readonly method: string
  /** The raw target. */
  readonly uri: string
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
}

export interface FakeResident {
  readonly identity: Identity
  readonly url: string
  readonly port: number
  character: Character
  /** What came in, in order. */
  readonly requests: readonly ReceivedRequest[]
  /** Calls of a kind so far. */
  count(...calls: readonly Call[]): number
  forget(): void
  /** What was wrong with what it was sent. Empty where all was well. */
  readonly complaints: readonly string[]
  /** What became of each event that it was sent. */
  readonly verdicts: readonly Verdict[]
  /** Most transactions that were under way at a time. */
  readonly mostTransactions: number
  /** Lets a transaction take so long, in milliseconds. */
  transactionMs: number
  /** Refuses make_join even for joined users. */
  joinsRefused: boolean
  readonly rooms: Map<string, ResidentRoom>
  /** Has a room, with one branch or with several, of which the first wins where none is named. */
  has(branches: readonly [TestRoom, ...TestRoom[]], resolved?: TestRoom): ResidentRoom
  /** Something happens in a room, after all of its branches. @returns the room after it */
  happens(roomId: string, ...story: readonly Line[]): TestRoom
  /** Its last user leaves a room. */
  leaves(roomId: string): void
  /** Answers these calls so until `heals`. */
  fails(fault: Fault, ...calls: readonly Call[]): void
  /** The same for what concerns one room alone. */
  failsFor(roomId: string, fault: Fault, ...calls: readonly Call[]): void
  /** Answers everything so until `heals`. */
  failsAll(fault: Fault): void
  /** Lets the calls in a second be so many, and asks for the rest to come later; undefined lets all be. */
  limit: RequestLimit | undefined
  heals(): void
  /** Where an application service listens, and the token that it is shown. */
  appservice: { readonly port: number; readonly hsToken: string } | undefined
  /** Sends a transaction to it. */
  tells(events: readonly JsonRecord[], txnId?: string): Promise<Answer>
  close(): Promise<void>
}

export interface FakeResidentOptions {
  readonly identity: Identity
  readonly character?: Character
  /** Keys of servers whose requests are sent on to it. */
  readonly others?: readonly Identity[]
}

/** A limit on requests, as Synapse has one for each server. */
export interface RequestLimit {
  readonly perSecond: number
  /** How long those beyond it are kept before they are refused, in milliseconds. */
  readonly delayMs: number
  /** What they are told, in seconds. */
  readonly retryAfter: number
}

const PATH = /^\/_matrix\/federation\/v1\/([a-z_]+)(?:\/([^/?]*))?(?:\/([^/?]*))?(?:\?(.*))?$/
/** Starts it on a free port. */
export async function startFakeResident(options: FakeResidentOptions): Promise<FakeResident> {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const requests: ReceivedRequest[] = []
  const complaints: string[] = []
  const verdicts: Verdict[] = []
  const faults = new Map<string, Fault>()
  const recent: number[] = []
  const held = new Set<() => void>()
  const rooms = new Map<string, ResidentRoom>()
  let underWay = 0
  let mostTransactions = 0
  let transactions = 0

  const resident: FakeResident = {
    identity: options.identity,
    url: `http://127.0.0.1:${port}`,
    port,
    character: options.character ?? 'synapse',
    requests,
    count: (...calls) => requests.filter(({ call }) => call !== undefined && calls.includes(call)).length,
    forget: () => void requests.splice(0),
    complaints,
    verdicts,
    get mostTransactions() {
      return mostTransactions
    },
    transactionMs: 0,
    joinsRefused: false,
    rooms,
    has(branches, resolved) {
      const room = residentRoom(branches, resolved)
      rooms.set(branches[0].roomId, room)
      return room
    },
    happens(roomId, ...story) {
      const room = rooms.get(roomId) as ResidentRoom
      const next = continueRoom(room.resolved, story, tipsOf(room))
      rooms.set(roomId, { ...residentRoom([next]), outside: room.outside })
      return next
    },
    leaves(roomId) {
      const room = rooms.get(roomId)
      if (room !== undefined) room.left = true
    },
    fails: (fault, ...calls) => {
      for (const call of calls) faults.set(call, fault)
    },
    failsFor(roomId, fault, ...calls) {
      for (const call of calls) faults.set(`${call} ${roomId}`, fault)
    },
    failsAll: (fault) => void faults.set('all', fault),
    limit: undefined,
    heals() {
      faults.clear()
      for (const release of held) release()
      held.clear()
    },
    appservice: undefined,
    async tells(events, txnId) {
      transactions += 1
      const { port: to, hsToken } = resident.appservice ?? { port: 0, hsToken: '' }
      const path = `/_matrix/app/v1/transactions/${txnId ?? transactions}`
      const headers = ['authorization', `Bearer ${hsToken}`, 'content-type', 'application/json']
      return exchange(to, { method: 'PUT', path, headers, body: JSON.stringify({ events }) })
    },
    async close() {
      resident.heals()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const uri = request.url ?? ''
    const asked = readTarget(uri)
    const body = Buffer.concat(chunks)
    const { method = '', rawHeaders } = request
    const received = { call: asked.call, method, uri, rawHeaders: [...rawHeaders], body }
    requests.push(received)
    if (resident.limit !== undefined && asked.call !== 'version' && isBeyond(resident.limit)) {
      await pause(resident.limit.delayMs)
      response.setHeader('retry-after', resident.limit.retryAfter)
      return sendJson(response, 429, { errcode: 'M_LIMIT_EXCEEDED', error: 'Too Many Requests' })
    }
    const fault = faults.get('all') ?? faults.get(`${asked.call}`) ?? faults.get(`${asked.call} ${asked.first}`)
    // What is refused has no effect; what only loses its answer has.
    const isRefused = typeof fault === 'object' && 'status' in fault
    const told = isRefused ? refuses(fault.status, 'M_UNKNOWN') : await tell(asked, received)
    if (fault === 'held') await new Promise<void>((resolve) => held.add(resolve))
    if (fault === undefined || fault === 'held') sendJson(response, told.status, told.body)
    else sendFaulty(response, fault, told, uri)
  }

  function isBeyond({ perSecond }: RequestLimit): boolean {
    const now = Date.now()
    while ((recent[0] ?? now) <= now - 1_000) recent.shift()
    if (recent.length >= perSecond) return true
    recent.push(now)
    return false
  }

  async function tell(asked: Asked, received: ReceivedRequest): Promise<Told> {
    if (asked.call === 'version') return { status: 200, body: { server: { name: 'Fake', version: '1' } } }
    if (asked.call === 'ping') return { status: resident.character === 'synapse' ? 200 : 404, body: { duration_ms: 1 } }
    const flaw = headerFlaw(received, options)
    if (flaw !== undefined) {
      complaints.push(flaw)
      return refuses(401, 'M_UNAUTHORIZED')
    }
    if (asked.call === 'send') return takeTransaction(received)
    if (asked.call === 'send_knock') return takeKnock(asked, received)
    return READ[asked.call ?? 'none']?.(resident, asked) ?? refuses(404, 'M_UNRECOGNIZED')
  }

  async function takeTransaction({ body }: ReceivedRequest): Promise<Told> {
    if (underWay > 0 && resident.character === 'synapse') return refuses(429, 'M_LIMIT_EXCEEDED')
    underWay += 1
    mostTransactions = Math.max(mostTransactions, underWay)
    if (resident.transactionMs > 0) await pause(resident.transactionMs)
    underWay -= 1
    const results: Record<string, JsonRecord> = {}
    for (const pdu of JSON.parse(body.toString()).pdus as readonly JsonRecord[]) await take(pdu, results)
    return { status: 200, body: { pdus: results } }
  }

  async function take(pdu: JsonRecord, results: Record<string, JsonRecord>): Promise<Verdict | undefined> {
    const room = rooms.get(String(pdu.room_id))
    if (room === undefined || room.left) return undefined
    const verdict = receive(room, pdu)
    verdicts.push(verdict)
    const event = { eventId: idOf(pdu, room.resolved.version), pdu }
    results[event.eventId] = {}
    const softFailed = { 'io.element.synapse.soft_failed': true }
    const isTold = verdict === 'accepted' || (verdict === 'soft-failed' && resident.character === 'synapse')
    if (isTold && resident.appservice !== undefined) {
      const told = clientEvent(room.resolved, event, verdict === 'accepted' ? {} : softFailed)
      resident.tells([told]).catch((error) => complaints.push(String(error)))
    }
    return verdict
  }

  async function takeKnock({ first }: Asked, { body }: ReceivedRequest): Promise<Told> {
    if (resident.character === 'dendrite') return refuses(404, 'M_UNRECOGNIZED')
    if (!rooms.has(first)) return refuses(404, 'M_NOT_FOUND')
    const verdict = await take(JSON.parse(body.toString()), {})
    const isRefused = verdict === 'rejected' || verdict === 'unknown prev_events'
    return isRefused ? refuses(403, 'M_FORBIDDEN') : { status: 200, body: { knock_room_state: [] } }
  }

  server.on('request', (request, response) => {
    answer(request, response).catch((error) => {
      complaints.push(String(error))
      response.destroy()
    })
  })
  return resident
}

function readTarget(uri: string): Asked {
  if (/^\/_matrix\/client\/v1\/appservice\/[^/]+\/ping$/.test(uri)) {
    return { call: 'ping', first: '', second: '', query: new URLSearchParams() }
  }
  const [, call, first = '', second = '', query] = PATH.exec(uri) ?? []
  return {
    call: call as Call | undefined,
    first: decodeURIComponent(first),
    second: decodeURIComponent(second),
    query: new URLSearchParams(query),
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}

/** Every X-Matrix line must be signed by a server that is known here, over the target and the body as they came. */
function headerFlaw(
  { method, uri, rawHeaders, body }: ReceivedRequest,
  options: FakeResidentOptions,
): string | undefined {
  const { identity, others = [] } = options
  const lines = rawHeaders.filter((_, at) => rawHeaders[at - 1]?.toLowerCase() === 'authorization')
  if (lines.length === 0) return `no authorization at ${uri}`
  for (const line of lines) {
    const { origin = '', destination, key, sig = '' } = parametersOf(line)
    const signer = [identity, ...others].find(({ name, keyId }) => name === origin && keyId === key)
    if (signer === undefined) return `${origin} has no key ${key}`
    if (destination !== identity.name) return `for ${destination}, not for ${identity.name}`
    const content = body.length > 0 ? { content: JSON.parse(body.toString()) as JsonRecord } : {}
    const text = canonical({ method, uri, origin, destination, ...content })
    if (!verifyText(text, sig, signer.publicKey)) return `the signature of ${origin} at ${uri} is wrong`
  }
  return undefined
}

function parametersOf(header: string): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries([...header.matchAll(/([a-z]+)="([^"]*)"/g)].map(([, name, value]) => [name, value]))
}
