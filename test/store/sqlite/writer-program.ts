/**
 * Another process at the same store. Usage: node --import tsx writer-program.ts (import|knock) FILE COUNT
 * `import` imports the sample room COUNT times with a crowd; `knock` records COUNT knocks, one after the other, and
 * says `answer N` once each is answered.
 */
import { writeSync } from 'node:fs'
import type { UserId } from '../../../src/matrix/identifiers.ts'
import { openSqliteStore, type SqliteStore } from '../../../src/store/sqlite/sqlite-store.ts'
import { accept, importRoom, knock, member, sampleState } from '../sample-room.ts'

async function importOften(store: SqliteStore, count: number): Promise<void> {
  const crowd = Array.from({ length: 1_500 }, (_, at) => member(`m${at}`, `@m${at}:there.test`, 'join'))
  for (let round = 0; round < count; round++) {
    const outcome = await importRoom(store, { state: [...sampleState(), ...crowd] })
    if (outcome.kind !== 'imported') throw new Error(outcome.reason)
  }
}

async function knockOften(store: SqliteStore, count: number): Promise<void> {
  await importRoom(store)
  for (let at = 0; at < count; at++) {
    const outcome = await accept(store, knock(`k${at}`, `@u${at}:remote.test` as UserId, ['bob']))
    if (outcome.kind !== 'committed') throw new Error(outcome.kind)
    writeSync(1, `answer ${at}\n`)
  }
}

const [what, path = '', count = '1'] = process.argv.slice(2)
const store = await openSqliteStore({ path, clock: Date.now })
await (what === 'import' ? importOften : knockOften)(store, Number(count))
await store.close()
