import { openPostgresStore } from '../../../src/store/postgres/postgres-store.ts'
import { DAY, MAX_REFUSALS, REFUSAL_BYTES, storeContract } from '../contract.ts'
import { createSchema } from './temporary-store.ts'

storeContract({
  name: 'the PostgreSQL store',
  async open(clock) {
    const schema = await createSchema()
    const store = await openPostgresStore({
      url: schema.url,
      clock,
      historyMs: DAY,
      maxRefusals: MAX_REFUSALS,
      refusalBytes: REFUSAL_BYTES,
    })
    const dispose = async () => {
      await store.close()
      await schema.drop()
    }
    return { store, dispose }
  },
})
