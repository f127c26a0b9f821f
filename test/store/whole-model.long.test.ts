/** Whatever happens to a store in whatever order: who knocked is a knocker until answered, and every server hears of it. */
import { afterAll, describe, it } from 'vitest'
import { createMemoryStore } from '../support/memory-store/memory-store.ts'
import type { DeliverySubject } from './delivery-histories.ts'
import { type CrashingStore, crashingStore } from './sqlite/crash.ts'
import { walkWhole } from './whole-histories.ts'

describe('imports, knocks, bans, repeats, deliveries and crashes in any order', () => {
  let sqlite: CrashingStore | undefined
  afterAll(() => sqlite?.remove())

  it('go as the model says, in memory', { timeout: 120_000 }, async () => {
    const subject = { now: 1_700_000_000_000, crash: async () => false } as DeliverySubject
    subject.store = createMemoryStore({ clock: () => subject.now })
    await walkWhole(subject, 200)
  })

  it('go as the model says, in SQLite', { timeout: 120_000 }, async () => {
    const subject = { now: 1_700_000_000_000 } as DeliverySubject
    const crashing = await crashingStore(() => subject.now)
    sqlite = crashing
    subject.store = crashing.store
    subject.crash = async () => {
      await crashing.crash()
      subject.store = crashing.store
      return true
    }
    await walkWhole(subject, 30)
  })
})
