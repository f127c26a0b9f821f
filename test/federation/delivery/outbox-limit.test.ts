import { describe, expect, it } from 'vitest'
import { createOutboxLimit } from '../../../src/federation/delivery/outbox-limit.ts'
import type { EventId, ServerName } from '../../../src/matrix/identifiers.ts'
import { pduOf } from '../../matrix/given.ts'
import { createOutbox } from '../../support/memory-store/outbox.ts'

const [AWAY, GONE, HERE] = ['away.test', 'gone.test', 'here.test'] as ServerName[] as [
  ServerName,
  ServerName,
  ServerName,
]

/** An outbox in which as many knocks, a second apart, wait for each server; those named do not answer. */
async function outboxOf(knocks: number, servers: readonly ServerName[], failing: readonly ServerName[]) {
  let now = 1_000_000
  const outbox = createOutbox(() => now)
  for (let knock = 0; knock < knocks; knock++) {
    now += 1_000
    outbox.enqueue({ eventId: `$${knock}` as EventId, pdu: pduOf({}) }, servers)
    while (await outbox.expand());
  }
  for (const { destination, txnId } of await outbox.claim(now, 9)) {
    if (failing.includes(destination)) await outbox.failed(destination, txnId, { retryAt: now + 1, reason: 'away' })
    else await outbox.release(destination, txnId)
  }
  const gaveUp: (readonly [string, number])[] = []
  const faults: unknown[] = []
  const limit = (mostWaiting: number) =>
    createOutboxLimit({
      queue: outbox,
      clock: () => now,
      mostWaiting,
      observer: { gaveUp: (server, events) => gaveUp.push([server, events]), fault: (error) => faults.push(error) },
    }).now()
  const waiting = async () =>
    Object.fromEntries((await outbox.listDeliveries(undefined, 9)).map((found) => [found.destination, found.waiting]))
  return { limit, waiting, gaveUp, faults }
}

describe('the size of the outbox', () => {
  it('is nothing to it while it is within it', async () => {
    const { limit, waiting, gaveUp } = await outboxOf(10, [AWAY, HERE], [AWAY])
    await limit(20)
    expect(await waiting()).toEqual({ [AWAY]: 10, [HERE]: 10 })
    expect(gaveUp).toEqual([])
  })

  it('costs servers that do not answer their oldest deliveries, and the others none', async () => {
    const { limit, waiting, gaveUp, faults } = await outboxOf(10, [AWAY, GONE, HERE], [AWAY, GONE])
    await limit(24)
    const left = await waiting()
    expect(left[HERE]).toBe(10)
    expect([left[AWAY], left[GONE]]).toEqual([5, 5])
    expect(gaveUp.map(([server, events]) => [server, events]).sort()).toEqual([
      [AWAY, 5],
      [GONE, 5],
    ])
    await limit(10)
    expect(await waiting()).toEqual({ [HERE]: 10 })
    expect(faults).toEqual([])
  })

  it('gives up nothing where every server answers', async () => {
    const { limit, waiting, faults } = await outboxOf(10, [HERE], [])
    await limit(1)
    expect(await waiting()).toEqual({ [HERE]: 10 })
    expect(faults).toEqual([])
  })
})
