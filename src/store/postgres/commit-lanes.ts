/**
 * Which knocks share a transaction: those that came in while the ones before were under way, whatever their rooms, so
 * that a round trip and a sync serve many. No room waits for another: one that somebody else holds goes by itself.
 */
import type { RoomId } from '../../matrix/identifiers.ts'

/** Knocks in one transaction: enough to share a sync, few enough that another replica gets the rooms soon. */
const MOST_TOGETHER = 50
/** Transactions on several rooms at a time: while the database syncs the one, it works on the other. */
const MOST_AT_ONCE = 2

export interface RoomItems<Item> {
  readonly roomId: RoomId
  readonly items: readonly Item[]
}

export interface Recorder<Item, Outcome> {
  /** In one transaction: for each room one outcome per item, in their order, or `locked` where somebody else holds it. */
  inRooms(rooms: readonly RoomItems<Item>[]): Promise<readonly (readonly Outcome[] | 'locked')[]>
  /** In one transaction, once nobody else holds the room: one outcome per item, in their order. */
  inRoom(room: RoomItems<Item>): Promise<readonly Outcome[]>
}

interface Waiting<Item, Outcome> {
  readonly item: Item
  resolve(outcome: Outcome): void
  reject(error: unknown): void
}

interface Lane<Item, Outcome> {
  readonly waiting: Waiting<Item, Outcome>[]
  isUnderWay: boolean
}

/** The first of a lane, on their way. */
interface Departed<Item, Outcome> extends RoomItems<Item> {
  readonly entries: readonly Waiting<Item, Outcome>[]
}

/** @returns a function that has an item recorded, after those that came before it for its room */
export function createCommitLanes<Item, Outcome>(
  recorder: Recorder<Item, Outcome>,
): (roomId: RoomId, item: Item) => Promise<Outcome> {
  const lanes = new Map<RoomId, Lane<Item, Outcome>>()
  let transactions = 0

  function depart(): readonly Departed<Item, Outcome>[] {
    const departed: Departed<Item, Outcome>[] = []
    let left = MOST_TOGETHER
    for (const [roomId, lane] of lanes) {
      if (lane.isUnderWay || left === 0) continue
      lane.isUnderWay = true
      const entries = lane.waiting.splice(0, left)
      left -= entries.length
      departed.push({ roomId, entries, items: entries.map(({ item }) => item) })
    }
    return departed
  }
  function arrive({ roomId, entries }: Departed<Item, Outcome>, outcomes: readonly Outcome[]): void {
    for (const [at, outcome] of outcomes.entries()) entries[at]?.resolve(outcome)
    const lane = lanes.get(roomId)
    lanes.delete(roomId)
    // At the end: a room that everybody knocks on leaves the others their turn.
    if (lane !== undefined && lane.waiting.length > 0) lanes.set(roomId, { ...lane, isUnderWay: false })
  }
  function fail(room: Departed<Item, Outcome>, error: unknown): void {
    for (const { reject } of room.entries) reject(error)
    arrive(room, [])
  }
  async function alone(room: Departed<Item, Outcome>): Promise<void> {
    try {
      arrive(room, await recorder.inRoom(room))
    } catch (error) {
      fail(room, error)
    }
    next()
  }
  async function together(rooms: readonly Departed<Item, Outcome>[]): Promise<void> {
    try {
      const outcomes = await recorder.inRooms(rooms)
      for (const [at, room] of rooms.entries()) {
        const recorded = outcomes[at] ?? 'locked'
        if (recorded === 'locked') void alone(room)
        else arrive(room, recorded)
      }
    } catch (error) {
      for (const room of rooms) fail(room, error)
    }
    transactions--
    next()
  }
  function next(): void {
    if (transactions === MOST_AT_ONCE) return
    const rooms = depart()
    if (rooms.length === 0) return
    transactions++
    void together(rooms)
  }

  return (roomId, item) =>
    new Promise((resolve, reject) => {
      const lane = lanes.get(roomId) ?? { waiting: [], isUnderWay: false }
      lanes.set(roomId, lane)
      lane.waiting.push({ item, resolve, reject })
      next()
    })
}
