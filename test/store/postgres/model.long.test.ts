import { describe, it } from 'vitest'
import { createMemoryStore } from '../../support/memory-store/memory-store.ts'
import { startTcpProxy } from '../../support/tcp-proxy.ts'
import { DAY } from '../contract.ts'
import { type DeliverySubject, walkOutbox } from '../delivery-histories.ts'
import { expectSameHistories } from '../room-histories.ts'
import { walkWhole } from '../whole-histories.ts'
import { temporaryStore } from './temporary-store.ts'

describe('the PostgreSQL store', () => {
  it('goes the same way as the memory store, whatever happens in whatever order', { timeout: 300_000 }, async () => {
    let now = 1_700_000_000_000
    const clock = () => now
    const postgres = await (await temporaryStore()).open({ clock, historyMs: DAY, abandonedMs: 1e12 })
    const advance = (ms: number) => {
      now += ms
    }
    await expectSameHistories([createMemoryStore({ clock, historyMs: DAY }), postgres], advance, 60)
  })

  it('has an outbox that is a line of events per server, whenever the process ends', { timeout: 300_000 }, async () => {
    const schema = await temporaryStore()
    const subject = { now: 1_700_000_000_000 } as DeliverySubject
    const open = () => schema.open({ clock: () => subject.now })
    subject.crash = async () => {
      await subject.store.close()
      subject.store = await open()
      return true
    }
    subject.store = await open()
    await walkOutbox(subject, 30)
  })

  it('goes as the model of a whole store says, whenever the process ends without a word', {
    timeout: 300_000,
  }, async () => {
    const schema = await temporaryStore()
    const subject = { now: 1_700_000_000_000 } as DeliverySubject
    const { port } = new URL(schema.url)
    let line = await startTcpProxy(Number(port))
    const open = () => {
      const url = schema.url.replace(`:${port}/`, `:${line.port}/`)
      return schema.open({ url, clock: () => subject.now, poolSize: 2, patienceMs: 100 })
    }
    subject.crash = async () => {
      await line.close()
      await subject.store.close()
      await schema.query(`UPDATE claims SET seen_at = seen_at - interval '11 seconds'`)
      line = await startTcpProxy(Number(port))
      subject.store = await open()
      return true
    }
    subject.store = await open()
    try {
      await walkWhole(subject, 40)
    } finally {
      await subject.store.close()
      await line.close()
    }
  })
})
