/** What the store and the second homeserver hold in the end, against what the knockers were told. */
import { expect } from 'vitest'
import type { Store } from '../../src/knock/ports/store.ts'
import type { RoomId, UserId } from '../../src/matrix/identifiers.ts'
import { openStore, type StoreLocation } from '../../src/store/open-store.ts'
import { until } from '../e2e/stage.ts'
import type { FakeHomeserver } from '../support/fake-homeserver.ts'
import type { TestRoom } from '../support/test-room.ts'

/** Longer than the claims of a process that is gone last, and the wait after a few failures. */
const DELIVERED_WITHIN_MS = 60_000
const MOST_DECISIONS = 1_000_000

export interface BooksOfRoom {
  readonly location: StoreLocation
  readonly room: TestRoom
  /** How often the room was imported. */
  readonly imports: number
  /** The user of each event that was answered 200. */
  readonly accepted: ReadonlyMap<string, string>
}

/**
 * That each knock that was answered 200 is there, and each that is there once and whole: its record, its revision, its
 * extremity and the membership of its user; and that nothing in the store disagrees with the rest. Every knock must name the last event of the room's file, and nothing else.
 * @returns the ids of all that are recorded
 */
export async function expectWholeBooks({ location, room, imports, accepted }: BooksOfRoom): Promise<readonly string[]> {
  const store = await openStore(location, { clock: Date.now })
  try {
    const roomId = room.roomId as RoomId
    const decisions = await store.listDecisions({ roomId, limit: MOST_DECISIONS })
    const knocks = decisions.filter(({ endpoint, outcome }) => endpoint === 'send_knock' && outcome === 'accepted')
    const recorded = knocks.map(({ eventId }) => String(eventId))
    expect(recorded).toHaveLength(new Set(recorded).size)
    expect([...accepted.keys()].filter((eventId) => !recorded.includes(eventId))).toEqual([])
    const { revision, extremities } = (await store.roomSummary(roomId)) ?? {}
    expect({ revision, extremities }).toEqual({ revision: imports + recorded.length, extremities: recorded.length })
    // Decisions come newest first: the first of a user is the one that counts.
    const newest = new Map([...knocks].reverse().map(({ userId, eventId }) => [userId, String(eventId)]))
    expect(await store.flaws()).toEqual([])
    expect(await membersOf(store, roomId, [...newest.keys()])).toEqual(newest)
    return recorded
  } finally {
    await store.close()
  }
}

async function membersOf(store: Store, roomId: RoomId, users: readonly UserId[]): Promise<Map<UserId, string>> {
  const members = new Map<UserId, string>()
  for (const user of users) members.set(user, String((await store.readRoom(roomId, user))?.member?.eventId))
  return members
}

/** That a server receives each of these events, and each in one transaction alone, however often that one came. */
export async function expectDelivered(server: FakeHomeserver, events: readonly string[]): Promise<void> {
  const received = (): readonly string[] => server.received.flatMap(({ eventIds }) => eventIds)
  const missing = (): readonly string[] => {
    const there = new Set(received())
    return events.filter((eventId) => !there.has(eventId))
  }
  await until('delivery of all', () => missing().length === 0, DELIVERED_WITHIN_MS)
  expect(received()).toHaveLength(new Set(received()).size)
  expect(server.complaints).toEqual([])
}
