/** Ways to break what holds in every store, in words that both databases understand, and what is said of them. */
import type { Store } from '../../src/knock/ports/store.ts'
import { accept, CAROL, DAVE, importRoom, knock } from './sample-room.ts'

/** A room with a knock that was superseded, one that waits in the outbox and one that waits for a server. */
export async function fillStore(store: Store): Promise<void> {
  await importRoom(store)
  await accept(store, knock('k1', CAROL, ['bob']))
  await accept(store, knock('k2', CAROL, ['k1']))
  while (await store.expand());
  await accept(store, knock('k3', DAVE, ['k2']))
}

const ROOM_ID = '!room:here.test'

export const BREAKAGES: readonly (readonly [sql: string, told: readonly string[]])[] = [
  ['UPDATE rooms SET snapshot = 99', [`${ROOM_ID}: the state that is in use is not there`]],
  [`DELETE FROM state WHERE type = 'm.room.create'`, [`${ROOM_ID}: its create event is not in its state`]],
  [
    `UPDATE joined_servers SET members = 3 WHERE server = 'there.test'`,
    [`${ROOM_ID}: 1 members of there.test are joined, 3 are counted`, `${ROOM_ID}: 2 members in all are counted`],
  ],
  ['UPDATE snapshots SET servers = 7', [`${ROOM_ID}: 2 members in all are counted`]],
  [`UPDATE rooms SET resident = (1 = 2)`, [`${ROOM_ID}: whether we are in it is told otherwise by its members`]],
  [
    `DELETE FROM events WHERE event IN (SELECT event FROM state WHERE type = 'm.room.power_levels')`,
    [`${ROOM_ID}: the event of m.room.power_levels "" is not there`],
  ],
  ['UPDATE state SET to_revision = NULL', [`${ROOM_ID}: m.room.member "${CAROL}" has two values at once`]],
  [
    `UPDATE extremities SET event_id = 'gone' WHERE to_revision IS NULL`,
    [`${ROOM_ID}: the event of its extremity gone is not there`],
  ],
  ['DELETE FROM extremities', [`${ROOM_ID}: it has no extremity`]],
  [`DELETE FROM state WHERE membership = 'knock'`, [`${ROOM_ID}: the accepted knock $k`]],
  ['UPDATE outbox SET event = 999', ['the outbox: a knock that waits for delivery is not there']],
  ['UPDATE deliveries SET event = event + 900', ['there.test: an event that waits for it is not there']],
  ['DELETE FROM deliveries', ['there.test: 0 events wait for it, 2 are counted']],
]
