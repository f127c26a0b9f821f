/** Whatever happens to an outbox in whatever order, every event reaches its servers in order, unless it was dropped. */
import { afterAll, describe, it } from 'vitest'
import { createMemoryStore } from '../support/memory-store/memory-store.ts'
import { type DeliverySubject, walkOutbox } from './delivery-histories.ts'
import { type CrashingStore, crashingStore } from './sqlite/crash.ts'

describe('an outbox is a line of events per server', () => {
  let sqlite: CrashingStore | undefined
  afterAll(() => sqlite?.remove())

  it('in memory', { timeout: 120_000 }, async () => {
    const subject: DeliverySubject = { now: 1_700_000_000_000, crash: async () => false } as DeliverySubject
    subject.store = createMemoryStore({ clock: () => subject.now })
    await walkOutbox(subject, 200)
  })

  it('in SQLite, whenever the process ends', { timeout: 120_000 }, async () => {
    const subject: DeliverySubject = { now: 1_700_000_000_000 } as DeliverySubject
    const crashing = await crashingStore(() => subject.now)
    sqlite = crashing
    subject.store = crashing.store
    subject.crash = async () => {
      await crashing.crash()
      subject.store = crashing.store
      return true
    }
    await walkOutbox(subject, 40)
  })
})
