/**
 * What a room's forward extremities agree on. Where they do not, and the homeserver does not say what it resolved, the
 * values are taken that let the fewest in: never one branch's by chance. docs/decisions/0008-rooms-from-a-homeserver.md
 */
import { TYPES_OF_EVERY_BRANCH } from '../knock/fact-types.ts'
import type { RoomId } from '../matrix/identifiers.ts'
import { isJsonObject } from '../matrix/json.ts'
import { ROOM_VERSIONS } from '../matrix/room-versions.ts'
import type { FlawedEvent, SoundEvent } from '../rooms/room-event.ts'
import type { HomeserverClient } from './homeserver-client.ts'
import { type NamedEvent, type RoomEdge, readEvent, readStateIds, type Unavailable } from './room-edge.ts'

/** Slots that are not simply what the state at the first extremity says. */
export interface ContestedState {
  readonly kind: 'contested'
  /** By slot, the value of each branch; undefined where a branch has what all of them have, or nothing. */
  readonly slots: ReadonlyMap<string, readonly (NamedEvent | undefined)[]>
  /** Ids in which the branches differ. */
  readonly differing: ReadonlySet<string>
  /** Ids that the homeserver resolved. */
  readonly resolved: ReadonlySet<unknown>
}

/** Events in which branches differ that are looked at one by one. */
const MAX_DIFFERENCES = 200

/** The place of a state event in the state; undefined for other events. */
export function slotOf(named: NamedEvent): string | undefined {
  return named.kind === 'event' ? slotOfEvent(named.event) : slotOfFlaw(named.flaw)
}

export function slotOfEvent({ pdu }: SoundEvent): string | undefined {
  return pdu.state_key === undefined ? undefined : JSON.stringify([pdu.type, pdu.state_key])
}

export function slotOfFlaw({ slot }: FlawedEvent): string | undefined {
  return slot && JSON.stringify([slot.type, slot.stateKey])
}

/** Finds the slots that an extremity sets itself, or in which the extremities differ. */
export async function readContested(
  client: HomeserverClient,
  roomId: RoomId,
  edge: RoomEdge,
  deadline: number,
): Promise<ContestedState | Unavailable> {
  const [only, ...others] = edge.ends
  if (only !== undefined && others.length === 0) {
    const slot = slotOf(only)
    const slots = new Map(slot === undefined ? [] : [[slot, [only]]])
    return { kind: 'contested', slots, differing: new Set(), resolved: new Set() }
  }
  const found = await readBranches(client, roomId, edge, deadline)
  if (found.kind === 'unavailable') return found
  const { branches, differing } = found
  const slots = [...new Set(branches.flatMap((branch) => [...branch.keys()]))]
  return {
    kind: 'contested',
    slots: new Map(slots.map((slot) => [slot, branches.map((branch) => branch.get(slot))])),
    differing,
    resolved: await readResolvedIds(client, roomId, edge, deadline),
  }
}

/** The differing part of the state after one extremity. */
type Branch = ReadonlyMap<string, NamedEvent>

interface Branches {
  readonly kind: 'branches'
  readonly branches: readonly Branch[]
  readonly differing: ReadonlySet<string>
}

/** Compares the ids of the state at each extremity, and reads those events that are not in all of them. */
async function readBranches(
  client: HomeserverClient,
  roomId: RoomId,
  { version, ids: endIds, ends }: RoomEdge,
  deadline: number,
): Promise<Branches | Unavailable> {
  const idsOf: ReadonlySet<string>[] = []
  for (const eventId of endIds) {
    const state = await readStateIds(client, roomId, eventId, deadline)
    if (state.kind === 'unavailable') return state
    idsOf.push(state.ids)
  }
  const all = new Set(idsOf.flatMap((ids) => [...ids]))
  const differing = [...all].filter((id) => !idsOf.every((ids) => ids.has(id)))
  if (differing.length > MAX_DIFFERENCES)
    return { kind: 'unavailable', reason: 'the branches of the room differ too much' }
  const events = new Map<string, NamedEvent>()
  for (const id of differing) {
    const read = await readEvent(client, roomId, version, id, deadline)
    if (read.kind === 'unavailable') return read
    events.set(id, read)
  }
  const branches = ends.map((end, at) => {
    const theirs = differing.flatMap((id) => (idsOf[at]?.has(id) ? (events.get(id) ?? []) : []))
    return new Map(
      [...theirs, end].flatMap((named) => {
        const slot = slotOf(named)
        return slot === undefined ? [] : [[slot, named] as const]
      }),
    )
  })
  return { kind: 'branches', branches, differing: new Set(differing) }
}

/** Ids of the resolved create, power levels, join rules and one member event, as a join would cite them. */
async function readResolvedIds(
  client: HomeserverClient,
  roomId: RoomId,
  { user }: RoomEdge,
  deadline: number,
): Promise<ReadonlySet<unknown>> {
  const versions = ROOM_VERSIONS.map((version) => `ver=${version}`).join('&')
  const path = `/_matrix/federation/v1/make_join/${encodeURIComponent(roomId)}/${encodeURIComponent(user)}?${versions}`
  const answer = await client.get(path, deadline)
  const event = answer.kind === 'answered' && answer.status === 200 ? answer.body?.event : undefined
  const ids = isJsonObject(event) ? event.auth_events : undefined
  return new Set(Array.isArray(ids) ? ids : [])
}

/**
 * The values of a contested slot: several where every branch's counts, none where it is empty.
 * @param shared what the state at the first extremity has in the slot, if all branches have it but for what they tell
 */
export function settleSlot(
  told: readonly (NamedEvent | undefined)[],
  shared: NamedEvent | undefined,
  resolved: ReadonlySet<unknown>,
): readonly NamedEvent[] {
  const values = told.map((named) => named ?? shared)
  const present = values.filter((named) => named !== undefined)
  const [first] = present
  if (first === undefined) return []
  if (values.every((named) => named?.eventId === first.eventId)) return [first]
  const chosen = present.find(({ eventId }) => resolved.has(eventId))
  if (chosen !== undefined) return [chosen]
  // What it says is not known: it may be the strictest.
  const unusable = present.find(({ kind }) => kind === 'flawed')
  if (unusable !== undefined) return [unusable]
  const events = values.map((named) => (named?.kind === 'event' ? named.event : undefined))
  const settled = settleEvents(events)
  return settled.map((event) => ({ kind: 'event', eventId: event.eventId, event }))
}

function settleEvents(values: readonly (SoundEvent | undefined)[]): readonly SoundEvent[] {
  const present = values.filter((event) => event !== undefined)
  if (present.some(({ pdu }) => TYPES_OF_EVERY_BRANCH.includes(pdu.type))) {
    return [...new Map(present.map((event) => [event.eventId, event])).values()]
  }
  const event = strictest(values)
  return event === undefined ? [] : [event]
}

/** The value that lets the fewest knock. Of values that decide nothing, the newest. */
function strictest(values: readonly (SoundEvent | undefined)[]): SoundEvent | undefined {
  const present = values.filter((event) => event !== undefined)
  switch (present[0]?.pdu.type) {
    case 'm.room.member':
      return present.toSorted((left, right) => severity(right) - severity(left))[0]
    case 'm.room.join_rules':
      return present.length < values.length
        ? undefined
        : present.toSorted((left, right) => openness(left) - openness(right))[0]
    default:
      return present.toSorted((left, right) => right.pdu.origin_server_ts - left.pdu.origin_server_ts)[0]
  }
}

const SEVERITY = ['leave', 'knock', 'join', 'invite', 'ban']

function severity({ pdu }: SoundEvent): number {
  return SEVERITY.indexOf(String(pdu.content.membership))
}

/** Rules that let people knock come last, those of all versions after the one that only later versions know. */
function openness({ pdu }: SoundEvent): number {
  return ['knock_restricted', 'knock'].indexOf(String(pdu.content.join_rule))
}
