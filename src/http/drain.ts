/**
 * Ends a listener without losing a request: no more connections, each last answer says `Connection: close`, and
 * connections that stay open get a moment for the request that may be on its way.
 */
import { once } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { type Socket, Server as TcpServer } from 'node:net'

export interface Drain {
  /** Takes no more connections. @returns once every connection has ended, or the time is over */
  begin(): Promise<void>
}

export interface DrainTimes {
  /** How long an idle connection may stay, in milliseconds. */
  readonly idleMs: number
  /** How long requests under way are waited for, in milliseconds. */
  readonly mostMs: number
}

const POLL_MS = 50

/** Prepares the ending of a server; to be called before it listens. */
export function createDrain(server: Server, { idleMs, mostMs }: DrainTimes): Drain {
  const sockets = new Set<Socket>()
  let draining = false
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.prependListener('request', (_request: IncomingMessage, response: ServerResponse) => {
    if (draining) response.setHeader('connection', 'close')
  })

  /** Node's own notion of idle leaves out connections that never carried a byte. */
  function closeIdle(): void {
    server.closeIdleConnections()
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
  }

  return {
    async begin() {
      if (draining) return
      draining = true
      if (!server.listening) return
      const closed = once(server, 'close')
      // http.Server itself closes idle connections at once, and with them requests that are on their way.
      TcpServer.prototype.close.call(server)
      let poll: NodeJS.Timeout | undefined
      const idle = setTimeout(() => {
        closeIdle()
        poll = setInterval(closeIdle, POLL_MS)
      }, idleMs)
      const most = setTimeout(() => server.closeAllConnections(), mostMs)
      await closed
      clearTimeout(idle)
      clearTimeout(most)
      clearInterval(poll)
      // Ends what http.Server does beside listening: the look at requests that take too long.
      server.close(() => undefined)
    },
  }
}
