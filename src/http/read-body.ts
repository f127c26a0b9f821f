/**
 * Reads a request body within its limit. What is too long is read to its end all the same, up to a second limit: a
 * connection that is closed in the middle of an upload loses the answer that says why.
 */
import type { Readable } from 'node:stream'
import { giveBack } from './returned-memory.ts'

export type Body =
  | { readonly kind: 'whole'; readonly bytes: Buffer }
  | { readonly kind: 'too large' }
  /** The sender went away. */
  | { readonly kind: 'broken off' }
  /** The reading was ended before the body was. */
  | { readonly kind: 'too slow' }

/** So much of a body is read at all. */
const MAX_DISCARDED_BYTES = 32 * 1024 * 1024
/** Room at first; it is doubled as more comes. Chunks are copied into it: those of one byte take hundreds each. */
const FIRST_BYTES = 4 * 1024

/** What ends a reading before the body ends: what was read is let go of. */
export interface ReadingEnd {
  /** Longest time for it, in milliseconds. */
  readonly waitMs?: number
  readonly signal?: AbortSignal
}

/**
 * @param limit bytes that are kept
 * @param room where they are kept, as far as it goes
 */
export function readBody(
  stream: Readable,
  limit: number,
  end: ReadingEnd = {},
  room: Buffer = Buffer.allocUnsafe(FIRST_BYTES),
): Promise<Body> {
  let kept = room
  let size = 0
  const keep = (chunk: Buffer): void => {
    const needed = size + chunk.length
    if (needed > kept.length) kept = larger(kept, size, Math.min(Math.max(2 * kept.length, needed), limit))
    size += chunk.copy(kept, size)
  }
  return readThrough(stream, limit, keep, () => kept.subarray(0, size), end)
}

/**
 * Reads a body and keeps nothing of it.
 * @param limit bytes beyond which it is too large
 * @param waitMs longest time for it, in milliseconds
 * @returns no bytes where it is not too large
 */
export function discardBody(stream: Readable, limit: number, waitMs: number): Promise<Body> {
  return readThrough(
    stream,
    limit,
    () => {},
    () => NOTHING,
    { waitMs },
  )
}

const NOTHING = Buffer.alloc(0)

/** @param keep is given what comes up to the limit, and copies what it wants of it */
function readThrough(
  stream: Readable,
  limit: number,
  keep: (chunk: Buffer) => void,
  kept: () => Buffer,
  { waitMs, signal }: ReadingEnd,
): Promise<Body> {
  return new Promise((resolve) => {
    let size = 0
    const onData = (chunk: Buffer) => {
      size += chunk.length
      if (size <= limit) keep(chunk)
      giveBack(chunk)
      if (size > MAX_DISCARDED_BYTES) settle({ kind: 'too large' })
    }
    const onEnd = () => settle(size > limit ? { kind: 'too large' } : { kind: 'whole', bytes: kept() })
    const onBroken = () => settle({ kind: 'broken off' })
    const onEnded = () => settle({ kind: 'too slow' })
    // A timer, and no signal with a time of its own: that one would outlive the request, with all that hangs on it.
    const timer = waitMs === undefined ? undefined : setTimeout(onEnded, waitMs)

    function settle(body: Body): void {
      stream.off('data', onData).off('end', onEnd).off('error', onBroken).off('close', onBroken)
      signal?.removeEventListener('abort', onEnded)
      clearTimeout(timer)
      if (!stream.readableEnded) stream.pause()
      resolve(body)
    }

    stream.on('data', onData).on('end', onEnd).on('error', onBroken).on('close', onBroken)
    signal?.addEventListener('abort', onEnded)
    if (signal?.aborted) onEnded()
    else if (stream.destroyed) onBroken()
  })
}

function larger(bytes: Buffer, size: number, capacity: number): Buffer {
  const copy = Buffer.allocUnsafe(capacity)
  bytes.copy(copy, 0, 0, size)
  return copy
}
