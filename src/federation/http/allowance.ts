/**
 * How many bytes connections may bring while exchanges are under way, whatever HTTP makes of them: early hints,
 * extensions of chunks and trailers belong to no body, and have no end of their own.
 */
import type { Socket } from 'node:net'

export interface Allowance {
  /** An exchange has begun, and may bring so many bytes. */
  begin(bytes: number): void
  /** An exchange has ended. Once none is under way, nothing is allowed any more. */
  end(): void
  /** Counts what the connection brings from now on, and destroys it when that is too much. */
  guard(socket: Socket): void
}

/** One allowance for connections to one and the same server. */
export function createAllowance(): Allowance {
  let underWay = 0
  let left = 0
  return {
    begin(bytes) {
      underWay++
      left = Math.max(left, 0) + bytes
    },
    end() {
      underWay--
      if (underWay === 0) left = 0
    },
    guard(socket) {
      let counted = socket.bytesRead
      socket.on('readable', () => {
        left -= socket.bytesRead - counted
        counted = socket.bytesRead
        if (left < 0) socket.destroy(Object.assign(new Error('too many bytes'), { code: TOO_MANY_BYTES }))
      })
    },
  }
}

export const TOO_MANY_BYTES = 'too many bytes around the body'
