/** The load generator: a process of its own, so that its work is not counted as the server's. */
import { setTimeout as pause } from 'node:timers/promises'
import { LoadConnection } from './load-connection.ts'
import type { LoadResult, Order, Outcome, RunOrder, WatchOrder } from './load-protocol.ts'
import { latencySummary } from './statistics.ts'

let stopped = false

/** @returns milliseconds until the whole answer was there @throws Error where it is not a 200 */
async function timed(connection: LoadConnection, request: string): Promise<number> {
  const start = performance.now()
  const { status, body } = await connection.exchange(request)
  const latency = performance.now() - start
  if (status !== 200) throw new Error(`an answer was ${status}: ${body}`)
  return latency
}

async function run({ port, connections, requests }: RunOrder): Promise<LoadResult> {
  const open = await Promise.all(Array.from({ length: connections }, () => LoadConnection.open(port)))
  const latencies = new Float64Array(requests.length)
  const share = Math.ceil(requests.length / connections)
  const start = performance.now()
  await Promise.all(
    open.map(async (connection, index) => {
      const from = index * share
      const to = Math.min(from + share, requests.length)
      for (let at = from; at < to; at++) latencies[at] = await timed(connection, requests[at] ?? '')
    }),
  )
  const seconds = (performance.now() - start) / 1000
  for (const connection of open) connection.close()
  return latencySummary(latencies, seconds)
}

async function watch({ port, requests, pauseMs }: WatchOrder): Promise<LoadResult> {
  const connection = await LoadConnection.open(port)
  const latencies: number[] = []
  const start = performance.now()
  while (!stopped) {
    const request = requests[latencies.length]
    if (request === undefined) throw new Error('there were not enough requests to watch until the end')
    latencies.push(await timed(connection, request))
    await pause(pauseMs)
  }
  connection.close()
  return latencySummary(Float64Array.from(latencies), (performance.now() - start) / 1000)
}

function report(work: Promise<LoadResult>): void {
  const outcome: Promise<Outcome> = work.then(
    (result) => ({ kind: 'done', result }),
    (error) => ({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) }),
  )
  void outcome.then((message) => process.send?.(message))
}

process.on('disconnect', () => process.exit())
process.on('message', (order: Order) => {
  if (order.kind === 'stop') stopped = true
  else {
    stopped = false
    report(order.kind === 'run' ? run(order) : watch(order))
  }
})
