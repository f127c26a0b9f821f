/** The load generator as measurements use it. */
import { answerOf, forkTypeScript } from './forked.ts'
import type { LoadResult, Order, Outcome, RunOrder, WatchOrder } from './load-protocol.ts'

export interface Load {
  /** Sends all requests. @throws Error where one was not answered with 200 */
  run(order: Omit<RunOrder, 'kind'>): Promise<LoadResult>
  /** Watches a server while some work is done. @throws Error where one answer was not 200 */
  watchDuring<Result>(order: Omit<WatchOrder, 'kind'>, work: () => Promise<Result>): Promise<Watched<Result>>
  close(): void
}

export interface Watched<Result> {
  readonly seen: LoadResult
  /** Of the work. */
  readonly result: Result
}

export function startLoad(): Load {
  const child = forkTypeScript('./load-generator.ts')
  const send = (order: Order): void => void child.send(order)
  const outcome = async (): Promise<LoadResult> => {
    const message = await answerOf<Outcome>(child)
    if (message.kind === 'failed') throw new Error(message.reason)
    return message.result
  }
  return {
    run(order) {
      send({ kind: 'run', ...order })
      return outcome()
    },
    async watchDuring(order, work) {
      send({ kind: 'watch', ...order })
      const watched = outcome()
      // A failure shows when the work is done; until then it must not count as unhandled.
      watched.catch(() => undefined)
      const result = await work()
      send({ kind: 'stop' })
      return { seen: await watched, result }
    },
    close: () => child.disconnect(),
  }
}
