/**
 * Imports a room file: everything in it is checked, staged beside the room in use, and comes into use at once or not at
 * all. docs/room-files.md
 */
import { FACT_TYPES } from '../knock/fact-types.ts'
import type { Clock } from '../knock/ports.ts'
import { judgeSignature, type SignaturePorts, type SignatureVerdict } from '../knock/server-signature.ts'
import type { ImportOutcome, RoomImport, Store } from '../knock/store-ports.ts'
import { authoriseCreate } from '../matrix/auth/create-rules.ts'
import { parseUserId, type ServerName, serverNameOf } from '../matrix/identifiers.ts'
import { signaturesBy } from '../matrix/signed-json.ts'
import type { SoundEvent } from './room-event.ts'
import { type EventBatch, type EventFlaw, readRoomFileEvents } from './room-file-events.ts'
import { type RoomFileHeader, readRoomFileHeader } from './room-file-header.ts'

export interface RoomImportPorts extends SignaturePorts {
  readonly store: Pick<Store, 'beginImport'>
  /** Our own name: its signatures are always checked, and the room is resident while it has a joined user. */
  readonly serverName: ServerName
  readonly clock: Clock
  /** Longest wait for keys of other servers, in milliseconds: once while the events are read, and once after the last. */
  readonly keysWithinMs: number
}

export interface RoomImportOrder {
  /** Opens the file at its first byte. Called twice. */
  open(): AsyncIterable<Uint8Array>
  /** Drops the knocks that were accepted here and that the file does not know. */
  readonly discardKnocks: boolean
}

export type RoomImportReport =
  | {
      readonly kind: 'imported'
      readonly header: RoomFileHeader
      readonly outcome: Extract<ImportOutcome, { kind: 'imported' }>
      readonly stateEvents: number
      /** Types of state whose signatures could not be checked, because keys of their servers could not be had. */
      readonly unverified: readonly string[]
    }
  /** Nothing was changed. */
  | Refused

interface Refused {
  readonly kind: 'refused'
  readonly reason: string
}

/**
 * Imports a room file.
 * @throws Error of the file system or the store where they fail; nothing is changed then
 */
export async function importRoom(ports: RoomImportPorts, order: RoomImportOrder): Promise<RoomImportReport> {
  const read = await readRoomFileHeader(order.open())
  if (!read.ok) return refused(read.reason)
  const { header } = read
  const { discardKnocks } = order
  const events = readRoomFileEvents(order.open(), header)
  return stageRoom(ports, { header, events, discardKnocks, unknownOwnKeys: 'refuse' })
}

/** A room as it comes from somewhere: its state, what that references, and its extremities, each event sound. */
export interface RoomToStage extends Omit<RoomImportOrder, 'open'> {
  readonly header: RoomFileHeader
  readonly events: AsyncIterable<EventBatch | EventFlaw>
  /** What becomes of events that our server signed with keys that are not known here: its earlier ones, or no keys of ours. */
  readonly unknownOwnKeys: 'refuse' | 'let be'
}

/**
 * Stages a room beside the one in use and brings it into use.
 * @throws Error of the source or the store where they fail; nothing is changed then
 */
export async function stageRoom(ports: RoomImportPorts, room: RoomToStage): Promise<RoomImportReport> {
  const { roomId, version } = room.header
  const staging = await ports.store.beginImport({
    roomId,
    version: version.id,
    ownServer: ports.serverName,
    discardKnocks: room.discardKnocks,
  })
  let report: RoomImportReport | undefined
  try {
    report = await stageAndSwap(ports, room, staging)
    return report
  } finally {
    if (report?.kind !== 'imported') await staging.abort()
  }
}

async function stageAndSwap(ports: RoomImportPorts, room: RoomToStage, staging: RoomImport): Promise<RoomImportReport> {
  const { header, events } = room
  const whileReading = ports.clock() + ports.keysWithinMs
  const facts: Facts = new Map()
  const counts = { pdus: 0, auth_chain: 0, extremities: 0 }
  for await (const batch of events) {
    if (batch.kind === 'flaw') return refused(batch.reason)
    const judged = await judgeAll(ports, room, batch.events.filter(isAlwaysJudged(ports)), whileReading)
    const flaw = judged.kind === 'refused' ? judged.reason : await stage(staging, batch, facts, judged.unknown)
    if (flaw !== undefined) return refused(flaw)
    counts[batch.list] += batch.events.length
  }
  if (counts.extremities === 0) return refused('extremities is empty; expected the forward extremities of the room')
  const create = facts.get('m.room.create')
  if (create === undefined) return refused('pdus has no m.room.create event')
  const verdict = authoriseCreate(create.pdu, header.version)
  if (!verdict.allowed) return refused(`${verdict.reason} (${verdict.rule})`)

  const judged = await judgeAll(ports, room, [...facts.values()], ports.clock() + ports.keysWithinMs)
  if (judged.kind === 'refused') return judged
  await staging.addState([...facts.values()].map((event) => ({ ...event, verified: !judged.unknown.has(event) })))
  const outcome = await staging.swap()
  if (outcome.kind === 'refused') return outcome
  const unverified = [...judged.unknown].map(({ pdu }) => pdu.type)
  return { kind: 'imported', header, outcome, stateEvents: counts.pdus, unverified }
}

/** State that decides about knocks or is shown to those who knock, by type: a handful, held back until it is verified. */
type Facts = Map<string, SoundEvent>

/** Stages a batch but for the facts. @returns what does not hold together */
async function stage(
  staging: RoomImport,
  { list, events }: EventBatch,
  facts: Facts,
  unknown: ReadonlySet<SoundEvent>,
): Promise<string | undefined> {
  if (list === 'auth_chain') await staging.addAuthChain(events)
  else if (list === 'extremities') await staging.addExtremities(events)
  else {
    const others: SoundEvent[] = []
    for (const event of events) {
      const { type, state_key: stateKey } = event.pdu
      if (stateKey === undefined) return `${event.eventId} (${type}) in pdus is no state event`
      if (type === 'm.room.member' && parseUserId(stateKey) === undefined) {
        return `${event.eventId} (${type}) is of no user: its state key is ${JSON.stringify(stateKey)}`
      }
      if (stateKey !== '' || !isFactType(type)) others.push(event)
      else if ((facts.get(type) ?? event).eventId === event.eventId) facts.set(type, event)
      else return `pdus has two events of type ${type} for one state key`
    }
    await staging.addState(others.map((event) => ({ ...event, verified: !unknown.has(event) })))
  }
  return undefined
}

function isFactType(type: string): boolean {
  return (FACT_TYPES as readonly string[]).includes(type)
}

/**
 * Our own signatures can always be checked, and a wrong one says that the file is not what our homeserver has. Of a
 * redacted event nothing but its signatures holds.
 */
function isAlwaysJudged({ serverName }: RoomImportPorts): (event: SoundEvent) => boolean {
  return (event) => event.redacted || senderServer(event) === serverName
}

interface Judged {
  readonly kind: 'judged'
  /** Keys of their servers could not be had. */
  readonly unknown: ReadonlySet<SoundEvent>
}

/** Judges the signatures of events by the servers of their senders. */
async function judgeAll(
  ports: RoomImportPorts,
  { unknownOwnKeys }: RoomToStage,
  events: readonly SoundEvent[],
  deadline: number,
): Promise<Judged | Refused> {
  const judged = await Promise.all(
    events.map(async (event) => {
      const server = senderServer(event)
      return { event, server, verdict: await judgeSignature(ports, event, server, deadline) }
    }),
  )
  for (const { event, server, verdict } of judged) {
    const flaw = signatureFlaw(event, server, verdict)
    if (flaw !== undefined) return refused(flaw)
    if (verdict === 'unknown' && server === ports.serverName && unknownOwnKeys === 'refuse') {
      return refused(unknownOwnKey(event, server))
    }
  }
  return {
    kind: 'judged',
    unknown: new Set(judged.flatMap(({ event, verdict }) => (verdict === 'good' ? [] : [event]))),
  }
}

function signatureFlaw(event: SoundEvent, server: ServerName, verdict: SignatureVerdict): string | undefined {
  const which = `${event.eventId} (${event.pdu.type})`
  if (verdict === 'wrong') return `the signature of ${server} on ${which} is wrong`
  return verdict === 'missing' ? `${which} is not signed by ${server}, the server of its sender` : undefined
}

function unknownOwnKey({ eventId, pdu }: SoundEvent, server: ServerName): string {
  const keys = [...signaturesBy(pdu, server).keys()].join(', ')
  return `${eventId} (${pdu.type}) is signed by ${server} with ${keys}: add its earlier keys to old_verify_keys`
}

function senderServer({ sender }: SoundEvent): ServerName {
  return serverNameOf(sender)
}

function refused(reason: string): Refused {
  return { kind: 'refused', reason }
}
