/** An outbox in memory for tests of the worker: what is due, what was reported, and nothing more. */
import type { Clock, DeliveryQueue, OutgoingTransaction, RoomEvent } from '../../src/knock/ports.ts'
import type { EventId, ServerName } from '../../src/matrix/identifiers.ts'

export interface TestOutbox extends DeliveryQueue {
  /** Puts one transaction of one event at the end of a destination's line. */
  add(destination: string, event?: RoomEvent): string
  /** Calls back as if something had been enqueued. */
  poke(): void
  readonly log: string[]
  /** When each destination may be tried again, after a failure. */
  readonly retryAt: Map<string, number>
  /** Thrown by the next calls, where set. */
  fault: Error | undefined
  readonly waiting: () => number
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
    unsigned: { age: 1 },
  }
  return { eventId: `$${count++}` as EventId, pdu }
}

export function createTestOutbox(clock: Clock): TestOutbox {
  const lines = new Map<ServerName, OutgoingTransaction[]>()
  const dueAt = new Map<ServerName, number>()
  const listeners: (() => void)[] = []
  const pass = () => {
    if (outbox.fault !== undefined) throw outbox.fault
  }
  const waitingFor = (destination: ServerName) => lines.get(destination) ?? []
  const destinations = () => [...lines.keys()].filter((destination) => waitingFor(destination).length > 0)

  const outbox: TestOutbox = {
    poke() {
      for (const listener of listeners) listener()
    },
    log: [],
    retryAt: dueAt,
    fault: undefined,
    waiting: () => [...lines.values()].reduce((sum, line) => sum + line.length, 0),
    add(name, event = testEvent()) {
      const destination = name as ServerName
      const txnId = `t${count++}`
      lines.set(destination, [...waitingFor(destination), { destination, txnId, attempts: 0, events: [event] }])
      outbox.poke()
      return txnId
    },
    async expand() {
      pass()
      return false
    },
    async due(now, limit) {
      pass()
      return destinations()
        .filter((destination) => (dueAt.get(destination) ?? 0) <= now)
        .slice(0, limit)
    },
    async nextDue() {
      const all = destinations().map((destination) => dueAt.get(destination) ?? 0)
      return all.length === 0 ? undefined : Math.min(...all)
    },
    async transactionFor(destination) {
      return waitingFor(destination)[0]
    },
    async delivered(destination, txnId) {
      pass()
      outbox.log.push(`delivered ${txnId}`)
      lines.set(destination, waitingFor(destination).slice(1))
      dueAt.delete(destination)
    },
    async failed(destination, txnId, retryAt, reason) {
      outbox.log.push(`failed ${txnId}: ${reason}`)
      const [first, ...rest] = waitingFor(destination)
      if (first !== undefined) lines.set(destination, [{ ...first, attempts: first.attempts + 1 }, ...rest])
      dueAt.set(destination, Math.max(retryAt, clock()))
    },
    async depth() {
      return { waiting: outbox.waiting(), failing: 0, oldestAge: 0 }
    },
    onEnqueued: (listener) => listeners.push(listener),
  }
  return outbox
}
