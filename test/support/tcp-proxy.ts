/** A way to a server on this machine that can be made to fail. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface TcpProxy {
  readonly port: number
  /** Cuts the connection on which the server answers next, and keeps the answer. */
  loseNextAnswer(): void
  /**
   * The same from the first request on that has a text in it, for the answer to the request after it on that connection.
   */
  loseAnswerTo(text: string): void
  /** Cuts each connection on which the server answers. */
  loseAllAnswers(): void
  loseNoMore(): void
  /** Answers that were lost. */
  lost(): number
  /** From now on nothing arrives, either way. */
  fallSilent(): void
  close(): Promise<void>
}

/** Listens on a free port of 127.0.0.1 for connections to another one. */
export async function startTcpProxy(to: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  let silent = false
  let losing: 'none' | 'next' | 'all' = 'none'
  let trigger: string | undefined
  let lost = 0

  const server = createServer((client) => {
    const upstream = connect(to, '127.0.0.1')
    let requestsToGo = Number.POSITIVE_INFINITY
    for (const [from, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.on('error', () => undefined)
      from.on('close', () => {
        sockets.delete(from)
        other.destroy()
      })
    }
    client.on('data', (data) => {
      if (silent) return
      if (trigger !== undefined && data.includes(trigger)) {
        trigger = undefined
        requestsToGo = 2
      }
      requestsToGo--
      upstream.write(data)
    })
    upstream.on('data', (data) => {
      if (silent) return
      if (losing !== 'none' || requestsToGo === 0) {
        if (losing === 'next') losing = 'none'
        requestsToGo = Number.POSITIVE_INFINITY
        lost++
        client.destroy()
      } else client.write(data)
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')

  return {
    port: (server.address() as AddressInfo).port,
    loseNextAnswer() {
      losing = 'next'
    },
    loseAllAnswers() {
      losing = 'all'
    },
    loseNoMore() {
      losing = 'none'
    },
    loseAnswerTo(text) {
      trigger = text
    },
    lost: () => lost,
    fallSilent() {
      silent = true
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      await once(server.close(), 'close')
    },
  }
}
