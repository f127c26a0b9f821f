import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { DAY, MAX_REFUSALS, REFUSAL_BYTES, storeContract } from './contract.ts'

storeContract({
  name: 'the SQLite store',
  async open(clock) {
    const directory = await mkdtemp(join(tmpdir(), 'knock-store-'))
    const path = join(directory, 'knock.db')
    const store = await openSqliteStore({
      path,
      clock,
      historyMs: DAY,
      maxRefusals: MAX_REFUSALS,
      refusalBytes: REFUSAL_BYTES,
    })
    const dispose = async () => {
      await store.close()
      await rm(directory, { recursive: true })
    }
    return { store, dispose }
  },
})
