/**
 * Keeps the outbox within its size: beyond it the oldest deliveries to servers that do not answer are given up before their
 * time. Accepted knocks stay; a server that comes back learns of them from what is built upon them.
 */
import type { DeliveryAdministration, DeliveryQueue, WaitingDestination } from '../../knock/ports/deliveries.ts'
import type { Clock } from '../../knock/ports/rooms.ts'
import type { ServerName } from '../../matrix/identifiers.ts'

export interface OutboxLimitOptions {
  readonly queue: Pick<DeliveryQueue, 'depth'> & Pick<DeliveryAdministration, 'listDeliveries' | 'drop'>
  readonly clock: Clock
  /** Deliveries, one for each knock and server. */
  readonly mostWaiting: number
  readonly observer: {
    gaveUp(destination: ServerName, events: number, oldestAt: number): void
    fault(error: unknown): void
  }
}

export interface OutboxLimit {
  start(): void
  /** Looks now, and gives up what is too much. */
  now(): Promise<void>
  stop(): Promise<void>
}

const EVERY_MS = 60_000
const PAGE = 1_000

export function createOutboxLimit({ queue, clock, mostWaiting, observer }: OutboxLimitOptions): OutboxLimit {
  let timer: NodeJS.Timeout | undefined
  let last: Promise<void> = Promise.resolve()

  async function failing(): Promise<readonly WaitingDestination[]> {
    const found: WaitingDestination[] = []
    for (let after: ServerName | undefined; ; ) {
      const page = await queue.listDeliveries(after, PAGE)
      found.push(...page.filter(({ attempts }) => attempts > 0))
      after = page.at(-1)?.destination
      if (page.length < PAGE) return found.sort((left, right) => right.waiting - left.waiting)
    }
  }

  /** Gives up the older half of the time that a server has been away, or all where nothing is that old. */
  async function shorten({ destination, oldestAt }: WaitingDestination): Promise<number> {
    const older = await queue.drop(destination, Math.ceil((oldestAt + clock()) / 2))
    const events = older > 0 ? older : await queue.drop(destination)
    if (events > 0) observer.gaveUp(destination, events, oldestAt)
    return events
  }

  async function look(): Promise<void> {
    let { waiting } = await queue.depth(clock())
    while (waiting > mostWaiting) {
      const before = waiting
      for (const destination of await failing()) {
        if (waiting <= mostWaiting) return
        waiting -= await shorten(destination)
      }
      // Those that answer are being delivered to: what waits for them is not the trouble.
      if (waiting === before) return
    }
  }

  const now = () => {
    last = last.then(look).catch(observer.fault)
    return last
  }
  return {
    now,
    start() {
      timer = setInterval(() => void now(), EVERY_MS)
      timer.unref()
    },
    async stop() {
      clearInterval(timer)
      await last
    },
  }
}
