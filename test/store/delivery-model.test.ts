/** Whatever happens to an outbox in whatever order, every event reaches its servers in order, unless it was dropped. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, it } from 'vitest'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { type DeliverySubject, walkOutbox } from './delivery-histories.ts'

describe('an outbox is a line of events per server', () => {
  const closing: (() => Promise<unknown>)[] = []
  afterAll(async () => {
    for (const close of closing) await close()
  })

  it('in memory', { timeout: 120_000 }, async () => {
    const subject: DeliverySubject = { now: 1_700_000_000_000, crash: async () => false } as DeliverySubject
    subject.store = createMemoryStore({ clock: () => subject.now })
    await walkOutbox(subject, 200)
  })

  it('in SQLite, whenever the process ends', { timeout: 120_000 }, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'knock-outbox-'))
    const open = () => openSqliteStore({ path: join(directory, 'knock.db'), clock: () => subject.now })
    const subject: DeliverySubject = { now: 1_700_000_000_000 } as DeliverySubject
    subject.crash = async () => {
      await subject.store.close()
      subject.store = await open()
      return true
    }
    subject.store = await open()
    closing.push(
      () => subject.store.close(),
      () => rm(directory, { recursive: true }),
    )
    await walkOutbox(subject, 40)
  })
})
