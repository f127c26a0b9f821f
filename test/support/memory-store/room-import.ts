/** An import into memory: a snapshot filled beside the one in use, and the swap. docs/architecture.md, "What is kept of a room". */
import type { Clock, RoomEvent } from '../../../src/knock/ports/rooms.ts'
import type { ImportHeader, ImportOutcome, RoomImport, StagedEvent } from '../../../src/knock/ports/store.ts'
import { membershipOf } from '../../../src/matrix/auth/knock-rules.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../../src/matrix/identifiers.ts'
import { answerNow, createKnockJudge, shallowestOf } from '../../../src/store/knock-fate.ts'
import { stateClash } from '../../../src/store/state-clash.ts'
import {
  createSnapshot,
  inUse,
  type MemoryRoom,
  removeJoined,
  type Snapshot,
  stateAt,
  stateKeyOf,
} from './room-state.ts'

interface Staging {
  readonly snapshot: Snapshot
  flaw: string | undefined
}

export function beginMemoryImport(rooms: Map<RoomId, MemoryRoom>, header: ImportHeader, clock: Clock): RoomImport {
  const staging: Staging = { snapshot: createSnapshot(header.ownServer), flaw: undefined }
  const { snapshot } = staging
  const keepEvent = ({ eventId, pdu }: RoomEvent) => {
    if (!snapshot.events.has(eventId)) snapshot.events.set(eventId, { event: { eventId, pdu }, signatures: 'good' })
  }
  return {
    async addState(events) {
      for (const event of events) stageState(staging, event)
    },
    async addFlaws(flaws) {
      for (const { type, stateKey, reason } of flaws) {
        const key = stateKeyOf(type, stateKey)
        if (!snapshot.flaws.has(key)) snapshot.flaws.set(key, { type, stateKey, reason })
      }
    },
    async addAuthChain(events) {
      events.forEach(keepEvent)
    },
    async addExtremities(events) {
      events.forEach(keepEvent)
      for (const { eventId, pdu } of events) addExtremity(snapshot, eventId, pdu.depth)
    },
    async swap() {
      return bringIntoUse(rooms, header, staging, clock())
    },
    async abort() {
      staging.flaw = 'the import was given up'
    },
  }
}

function stageState(staging: Staging, { eventId, pdu, verified, branch = 0 }: StagedEvent): void {
  const { snapshot } = staging
  const stateKey = pdu.state_key ?? ''
  const key = stateKeyOf(pdu.type, stateKey)
  const event = { eventId, pdu }
  snapshot.events.set(eventId, { event, signatures: verified ? 'good' : 'unchecked' })
  if (branch > 0) {
    const values = snapshot.branchValues.get(key) ?? []
    if ((values[branch - 1] ?? event).eventId !== eventId) staging.flaw ??= stateClash(pdu.type)
    values[branch - 1] = event
    snapshot.branchValues.set(key, values)
    return
  }
  const present = snapshot.state.get(key)?.[0]
  if (present !== undefined) {
    if (present.event.eventId !== eventId) staging.flaw ??= stateClash(pdu.type)
    return
  }
  snapshot.state.set(key, [{ from: 0, event, endedAt: undefined }])
  if (pdu.type !== 'm.room.member' || pdu.content.membership !== 'join') return
  const server = stateKey.slice(stateKey.indexOf(':') + 1) as ServerName
  snapshot.joined.set(server, (snapshot.joined.get(server) ?? 0) + 1)
}

function addExtremity(snapshot: Snapshot, eventId: EventId, depth: number): void {
  if (snapshot.known.has(eventId)) return
  snapshot.known.set(eventId, { eventId, depth, from: 0, endedAt: undefined })
  snapshot.extremities.add({ eventId, depth })
}

function bringIntoUse(
  rooms: Map<RoomId, MemoryRoom>,
  { roomId, version, discardKnocks }: ImportHeader,
  { snapshot, flaw }: Staging,
  now: number,
): ImportOutcome {
  const room = rooms.get(roomId)
  const createEvent = stateAt(snapshot, 'm.room.create', '')?.eventId
  if (flaw !== undefined) return { kind: 'refused', reason: flaw }
  if (createEvent === undefined && !snapshot.flaws.has(stateKeyOf('m.room.create', ''))) {
    return { kind: 'refused', reason: 'the state has no m.room.create event' }
  }
  if (room === undefined) {
    snapshot.fromRevision = 1
    const none = { accepted: new Map(), acceptedAt: new Map() }
    rooms.set(roomId, { roomId, version, createEvent, ...none, snapshots: [snapshot], revision: 1, factsRevision: 1 })
    return { kind: 'imported', revision: 1, keptKnocks: 0, droppedKnocks: 0 }
  }
  const refused = mismatch(room, createEvent, version)
  if (refused !== undefined) return { kind: 'refused', reason: refused }
  room.createEvent ??= createEvent
  const before = inUse(room)
  if (!discardKnocks) takeOverAll(room, snapshot)
  room.revision++
  room.factsRevision = room.revision
  snapshot.fromRevision = room.revision
  before.endedAt = now
  room.snapshots.push(snapshot)
  const kept = [...snapshot.knocks.values()].filter((inFile) => !inFile).length
  const dropped = before.knocks.size - snapshot.knocks.size
  return { kind: 'imported', revision: room.revision, keptKnocks: kept, droppedKnocks: dropped }
}

function mismatch(room: MemoryRoom, createEvent: EventId | undefined, version: string): string | undefined {
  const both = room.createEvent !== undefined && createEvent !== undefined
  if (both && room.createEvent !== createEvent) return 'the create event is not that of the room with this id'
  if (room.version !== version) return `the room's version is ${room.version}, the file says ${version}`
  return undefined
}

function takeOverAll(room: MemoryRoom, snapshot: Snapshot): void {
  const knocks = [...inUse(room).knocks.keys()].flatMap((id) => room.accepted.get(id) ?? [])
  const judge = createKnockJudge(shallowestOf(knocks.map(({ pdu }) => pdu)))
  for (const knock of knocks) takeOver(room, snapshot, knock, judge)
}

/** Carries a knock that was accepted here over into the imported state, where the file cannot know it. */
function takeOver(
  room: MemoryRoom,
  snapshot: Snapshot,
  knock: RoomEvent,
  judge: ReturnType<typeof createKnockJudge>,
): void {
  const { eventId: knockId, pdu } = knock
  const sender = pdu.sender as UserId
  const member = stateAt(snapshot, 'm.room.member', sender)
  const membership = membershipOf(member)
  const unusable = snapshot.flaws.has(stateKeyOf('m.room.member', sender)) ? ('unusable' as const) : undefined
  const inquiry = judge({
    eventId: knockId,
    depth: pdu.depth,
    inFile: snapshot.events.has(knockId),
    member: member ? { eventId: member.eventId, membership } : unusable,
  })
  const at = (id: string) => snapshot.events.get(id as EventId)?.event ?? room.accepted.get(id as EventId)
  const fate = answerNow(inquiry, (id) => at(id)?.pdu)
  if (fate === 'drop') return
  snapshot.knocks.set(knockId, fate === 'in file')
  if (fate === 'in file') return
  if (membership === 'join') removeJoined(snapshot, sender)
  snapshot.state.set(stateKeyOf('m.room.member', sender), [{ from: 0, event: knock, endedAt: undefined }])
  const extremity = inUse(room).known.get(knockId)
  if (extremity !== undefined && extremity.endedAt === undefined) addExtremity(snapshot, knockId, extremity.depth)
}
