/**
 * A homeserver next door that does next to nothing: prepared answers after a fixed time, and knocks that it is sent come
 * back over the feed. It takes no time from the service for checks of its own: that requests are signed is tested elsewhere.
 */
import { createServer, type IncomingMessage, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'
import { idOf } from '../../test/support/events.ts'
import type { JsonRecord } from '../../test/support/signing.ts'
import { ROOM_VERSION } from '../native-signing.ts'

/** A room as it is asked for: bodies of answers. */
export interface ResidentRoom {
  readonly roomId: string
  readonly template: string
  readonly state: string
  readonly events: readonly (readonly [eventId: string, answer: string])[]
}

/** How many requests of another server a homeserver takes, as Synapse's rc_federation. */
export interface RequestLimit {
  /** Within a second, so many are answered at once, */
  readonly freely: number
  /** those beyond so many milliseconds later, */
  readonly sleepMs: number
  /** and those beyond so many are refused with 429. */
  readonly most: number
}

export interface ResidentStart {
  readonly kind: 'start'
  /** Each answer takes so long, in milliseconds. */
  readonly answerMs: number
  /** Undefined: all that come. */
  readonly limit: RequestLimit | undefined
  readonly appservice: { readonly port: number; readonly hsToken: string }
}

export type ResidentMessage =
  | ResidentStart
  | { readonly kind: 'serve'; readonly room: ResidentRoom }
  | { readonly kind: 'tell'; readonly events: readonly JsonRecord[] }
  /** Asks how many requests came, pings not among them. */
  | { readonly kind: 'count' }

const rooms = new Map<string, ResidentRoom>()
const events = new Map<string, string>()
let requests = 0
let transactions = 0
let setUp: ResidentStart | undefined

const CALL = /^\/_matrix\/federation\/v1\/(make_leave|state|event|send)\/([^/?]+)/
const LIMITED = { status: 429, body: '{"errcode":"M_LIMIT_EXCEEDED","error":"Too many requests"}' }
const UNKNOWN = { status: 404, body: '{"errcode":"M_NOT_FOUND","error":"not here"}' }

async function answerTo(message: IncomingMessage): Promise<{ readonly status: number; readonly body: string }> {
  const chunks: Buffer[] = []
  for await (const chunk of message) chunks.push(chunk as Buffer)
  if (message.url?.endsWith('/ping')) return { status: 200, body: '{"duration_ms":1}' }
  requests += 1
  if (!(await admitted())) return LIMITED
  const [, call, named = ''] = CALL.exec(message.url ?? '') ?? []
  if (call === 'send') return take(JSON.parse(Buffer.concat(chunks).toString()).pdus)
  const id = decodeURIComponent(named)
  const body = call === 'event' ? events.get(id) : rooms.get(id)?.[call === 'state' ? 'state' : 'template']
  return call === undefined || body === undefined ? UNKNOWN : { status: 200, body }
}

/** When the requests of the last second came. */
const recent: number[] = []

/** Waits where the limit lets a request in later. @returns false where it does not let it in */
async function admitted(): Promise<boolean> {
  const limit = setUp?.limit
  if (limit === undefined) return true
  const now = performance.now()
  while (recent.length > 0 && now - (recent[0] ?? now) > 1_000) recent.shift()
  if (recent.length >= limit.most) return false
  recent.push(now)
  if (recent.length > limit.freely) await new Promise((resolve) => setTimeout(resolve, limit.sleepMs))
  return true
}

/** Every knock comes into its room. */
function take(pdus: readonly JsonRecord[]): { readonly status: number; readonly body: string } {
  const taken = pdus.map((pdu) => ({ event_id: idOf(pdu, ROOM_VERSION), pdu }))
  void tell(
    taken.map(({ event_id, pdu: { hashes, signatures, auth_events, prev_events, depth, ...told } }) => ({
      event_id,
      ...told,
    })),
  )
  return {
    status: 200,
    body: JSON.stringify({ pdus: Object.fromEntries(taken.map(({ event_id }) => [event_id, {}])) }),
  }
}

/** One transaction to the application service. @returns the status of its answer */
function tell(told: readonly JsonRecord[]): Promise<number> {
  const { port, hsToken } = setUp?.appservice ?? { port: 0, hsToken: '' }
  const path = `/_matrix/app/v1/transactions/${++transactions}`
  const headers = { authorization: `Bearer ${hsToken}`, 'content-type': 'application/json' }
  return new Promise((resolve, reject) => {
    send({ host: '127.0.0.1', port, path, method: 'PUT', headers }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0))
    })
      .once('error', reject)
      .end(JSON.stringify({ events: told }))
  })
}

const server = createServer(async (request, response) => {
  const { status, body } = await answerTo(request)
  setTimeout(() => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(body)
  }, setUp?.answerMs)
})

async function obey(message: ResidentMessage): Promise<number> {
  switch (message.kind) {
    case 'start':
      setUp = message
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      return (server.address() as AddressInfo).port
    case 'serve':
      rooms.set(message.room.roomId, message.room)
      for (const [eventId, answer] of message.room.events) events.set(eventId, answer)
      return rooms.size
    case 'tell':
      return tell(message.events)
    case 'count':
      return requests
  }
}

process.once('disconnect', () => process.exit())
process.on('message', async (message: ResidentMessage) => {
  process.send?.(await obey(message))
})
