import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import { DAY, MAX_REFUSALS, storeContract } from './contract.ts'

storeContract({
  name: 'the memory store',
  async open(clock) {
    return { store: createMemoryStore({ clock, historyMs: DAY, maxDecisions: MAX_REFUSALS }), dispose: async () => {} }
  },
})
