/** The outbox in memory for tests of the worker, with a log of what was reported and faults at will. */

import type { DeliveryQueue } from '../../../src/knock/ports/deliveries.ts'
import type { Clock, RoomEvent } from '../../../src/knock/ports/rooms.ts'
import type { EventId, ServerName } from '../../../src/matrix/identifiers.ts'
import { createOutbox } from '../../support/memory-store/outbox.ts'

export interface TestOutbox extends DeliveryQueue {
  /** Enqueues an event for these servers. @returns its id */
  add(...destinations: readonly string[]): string
  /** Enqueues an event of this text. @returns its id */
  addText(text: string, ...destinations: readonly string[]): string
  /** Calls back as if something had been enqueued. */
  poke(): void
  /** `delivered a.test $1`, `failed a.test $1: reason`, with the first event of each. */
  readonly log: string[]
  /** What the last failure of a destination asked for. */
  readonly retryAt: Map<string, number>
  /** Thrown by the next calls, where set. */
  fault: Error | undefined
  waiting(): Promise<number>
}

let count = 0

export function testEvent(text = 'x'): RoomEvent {
  const pdu = {
    type: 'm.room.member',
    sender: '@a:there.test',
    content: { membership: 'knock', text },
    origin_server_ts: 1,
    depth: 1,
    prev_events: [],
    auth_events: [],
    hashes: { sha256: '' },
    signatures: {},
  }
  return { eventId: `$${count++}` as EventId, pdu }
}

export function createTestOutbox(clock: Clock): TestOutbox {
  const { enqueue, ...queue } = createOutbox(clock)
  const listeners: (() => void)[] = []
  const firstEvent = new Map<string, string>()
  const pass = () => {
    if (outbox.fault !== undefined) throw outbox.fault
  }
  queue.onEnqueued(() => outbox.poke())

  const outbox: TestOutbox = {
    ...queue,
    poke() {
      for (const listener of listeners) listener()
    },
    log: [],
    retryAt: new Map(),
    fault: undefined,
    async waiting() {
      return (await queue.depth(clock())).waiting
    },
    add: (...destinations) => outbox.addText('x', ...destinations),
    addText(text, ...destinations) {
      const event = testEvent(text)
      enqueue(event, destinations as readonly ServerName[])
      return event.eventId
    },
    async expand() {
      pass()
      return queue.expand()
    },
    async claim(...wanted) {
      pass()
      const claimed = await queue.claim(...wanted)
      for (const { txnId, events } of claimed) firstEvent.set(txnId, events[0]?.eventId ?? '')
      return claimed
    },
    async delivered(destination, txnId, pace) {
      pass()
      await queue.delivered(destination, txnId, pace)
      outbox.log.push(`delivered ${destination} ${firstEvent.get(txnId)}`)
    },
    async failed(destination, txnId, failure) {
      pass()
      await queue.failed(destination, txnId, failure)
      outbox.log.push(`failed ${destination} ${firstEvent.get(txnId)}: ${failure.reason}`)
      outbox.retryAt.set(destination, failure.retryAt)
    },
    onEnqueued: (listener) => listeners.push(listener),
  }
  return outbox
}
