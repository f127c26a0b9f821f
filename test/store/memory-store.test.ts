import { createMemoryStore } from '../support/memory-store/memory-store.ts'
import { DAY, MAX_REFUSALS, REFUSAL_BYTES, storeContract } from './contract.ts'

storeContract({
  name: 'the memory store',
  async open(clock) {
    return {
      store: createMemoryStore({ clock, historyMs: DAY, maxDecisions: MAX_REFUSALS, refusalBytes: REFUSAL_BYTES }),
      dispose: async () => {},
    }
  },
})
