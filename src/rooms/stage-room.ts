/**
 * Stages a room beside the one in use and brings it into use at once or not at all. An event that cannot be used closes its
 * own place in the state and nothing else. docs/decisions/0012-one-event-one-slot.md
 */
import { isFact, TYPES_OF_EVERY_BRANCH } from '../knock/fact-types.ts'
import type { ImportOutcome, RoomImport, SlotFlaw, StagedEvent, Store } from '../knock/ports/store.ts'
import { authoriseCreate } from '../matrix/auth/create-rules.ts'
import { parseUserId, type ServerName } from '../matrix/identifiers.ts'
import type { FlawedEvent, Slot } from './room-event.ts'
import type { EventBatch, EventFlaw } from './room-file-events.ts'
import type { RoomFileHeader } from './room-file-header.ts'

export interface RoomStagingPorts {
  readonly store: Pick<Store, 'beginImport'>
  /** Our own name: the room is resident while it has a joined user. */
  readonly serverName: ServerName
}

/** A room as it comes from somewhere: its state, what that references, and its extremities. */
export interface RoomToStage {
  readonly header: RoomFileHeader
  readonly events: AsyncIterable<EventBatch | EventFlaw>
  /** Drops the knocks that were accepted here and that the room does not know. */
  readonly discardKnocks: boolean
}

export type StagingReport =
  | {
      readonly kind: 'imported'
      readonly outcome: Extract<ImportOutcome, { kind: 'imported' }>
      readonly stateEvents: number
    }
  /** Nothing was changed. */
  | Refused

export interface Refused {
  readonly kind: 'refused'
  readonly reason: string
}

export function refused(reason: string): Refused {
  return { kind: 'refused', reason }
}

/** @throws Error of the source or the store where they fail; nothing is changed then */
export async function stageRoom(ports: RoomStagingPorts, room: RoomToStage): Promise<StagingReport> {
  const { roomId, version } = room.header
  const staging = await ports.store.beginImport({
    roomId,
    version: version.id,
    ownServer: ports.serverName,
    discardKnocks: room.discardKnocks,
  })
  let report: StagingReport | undefined
  try {
    report = await stageAndSwap(room, staging)
    return report
  } finally {
    if (report?.kind !== 'imported') await staging.abort()
  }
}

/** What is held back until all of it is known: a handful. */
interface HeldBack {
  /** State that decides about knocks or is shown to those who knock, by type. */
  readonly facts: Map<string, StagedEvent[]>
  extremities: number
  /** Why the last extremity that is no use is none. */
  extremityFlaw: string | undefined
}

async function stageAndSwap({ header, events }: RoomToStage, staging: RoomImport): Promise<StagingReport> {
  const held: HeldBack = { facts: new Map(), extremities: 0, extremityFlaw: undefined }
  let stateEvents = 0
  for await (const batch of events) {
    const clash = batch.kind === 'flaw' ? batch.reason : await stage(staging, batch, held)
    if (clash !== undefined) return refused(clash)
    if (batch.kind === 'events' && batch.list === 'pdus') stateEvents += batch.events.length
  }
  if (held.extremities === 0) return refused(noExtremity(held))
  await stageFacts(staging, header, held.facts)
  const outcome = await staging.swap()
  return outcome.kind === 'refused' ? outcome : { kind: 'imported', outcome, stateEvents }
}

function noExtremity({ extremityFlaw }: HeldBack): string {
  return extremityFlaw === undefined
    ? 'extremities is empty; expected the forward extremities of the room'
    : `none of the forward extremities can be used: ${extremityFlaw}`
}

/** Stages a batch but for the facts. @returns what does not hold together */
async function stage(staging: RoomImport, batch: EventBatch, held: HeldBack): Promise<string | undefined> {
  const { list, events, flaws } = batch
  if (list === 'auth_chain') await staging.addAuthChain(events)
  else if (list === 'extremities') {
    held.extremities += events.length
    held.extremityFlaw = flaws.at(-1)?.reason ?? held.extremityFlaw
    await staging.addExtremities(events)
  } else {
    await staging.addFlaws(flaws.flatMap(slotFlaw))
    return stageState(staging, batch, held.facts)
  }
  return undefined
}

async function stageState(
  staging: RoomImport,
  { events, unverified }: EventBatch,
  facts: HeldBack['facts'],
): Promise<string | undefined> {
  const others: StagedEvent[] = []
  for (const event of events) {
    const staged = { ...event, verified: unverified?.has(event) !== true, branch: 0 }
    const { type, state_key: stateKey } = event.pdu
    if (!isFact(event.pdu)) {
      if (stateKey !== undefined && isAnybodys({ type, stateKey })) others.push(staged)
      continue
    }
    const before = facts.get(type) ?? []
    if (before.some(({ eventId }) => eventId === event.eventId)) continue
    if (before.length > 0 && !TYPES_OF_EVERY_BRANCH.includes(type)) {
      return `pdus has two events of type ${type} for one state key`
    }
    facts.set(type, [...before, { ...staged, branch: before.length }])
  }
  await staging.addState(others)
  return undefined
}

/** Whether a place in the state can be asked for: the membership of what is no user is nobody's. */
export function isAnybodys({ type, stateKey }: Slot): boolean {
  return type !== 'm.room.member' || parseUserId(stateKey) !== undefined
}

/** What an event that cannot be used does: of a type that neither decides nor is shown, nothing. */
function slotFlaw({ slot, reason }: FlawedEvent): readonly SlotFlaw[] {
  if (slot === undefined) return []
  const { type, stateKey } = slot
  const counts = type === 'm.room.member' ? isAnybodys(slot) : isFact({ type, state_key: stateKey })
  return counts ? [{ type, stateKey, reason }] : []
}

async function stageFacts(
  staging: RoomImport,
  { version }: RoomFileHeader,
  facts: ReadonlyMap<string, readonly StagedEvent[]>,
): Promise<void> {
  const create = facts.get('m.room.create')?.[0]
  const verdict = create && authoriseCreate(create.pdu, version)
  const isRefused = verdict?.allowed === false
  if (isRefused) {
    const reason = `${verdict.reason} (${verdict.rule})`
    await staging.addFlaws([{ type: 'm.room.create', stateKey: '', reason }])
  }
  const used = [...facts.values()].flat().filter((event) => !isRefused || event !== create)
  await staging.addState(used)
}
