/** One lane per room: what comes in while a transaction on the room is under way shares the next one. */
import type { RoomId } from '../../matrix/identifiers.ts'

/** Knocks in one transaction: enough to share a sync, few enough that another replica gets the room's row soon. */
const MOST_TOGETHER = 50

interface Waiting<Item, Outcome> {
  readonly item: Item
  resolve(outcome: Outcome): void
  reject(error: unknown): void
}

/**
 * @param record writes what it is given in one transaction; one outcome per item, in their order
 * @returns a function that has an item recorded in the lane of its room
 */
export function createCommitLanes<Item, Outcome>(
  record: (roomId: RoomId, items: readonly Item[]) => Promise<readonly Outcome[]>,
): (roomId: RoomId, item: Item) => Promise<Outcome> {
  const lanes = new Map<RoomId, Waiting<Item, Outcome>[]>()

  const recordSome = async (roomId: RoomId, some: readonly Waiting<Item, Outcome>[]) => {
    try {
      const outcomes = await record(
        roomId,
        some.map(({ item }) => item),
      )
      for (const [at, outcome] of outcomes.entries()) some[at]?.resolve(outcome)
    } catch (error) {
      for (const { reject } of some) reject(error)
    }
  }
  const drive = async (roomId: RoomId, waiting: Waiting<Item, Outcome>[]) => {
    while (waiting.length > 0) await recordSome(roomId, waiting.splice(0, MOST_TOGETHER))
    lanes.delete(roomId)
  }

  return (roomId, item) =>
    new Promise((resolve, reject) => {
      const entry = { item, resolve, reject }
      const lane = lanes.get(roomId)
      if (lane !== undefined) {
        lane.push(entry)
        return
      }
      const opened = [entry]
      lanes.set(roomId, opened)
      void drive(roomId, opened)
    })
}
