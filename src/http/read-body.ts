/**
 * Reads a request body within its limit. What is too long is read to its end all the same, up to a second limit: a
 * connection that is closed in the middle of an upload loses the answer that says why.
 */
import type { Readable } from 'node:stream'

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

/**
 * @param limit bytes that are kept
 * @param signal ends the reading early: what was read is let go of
 * @param room where they are kept, as far as it goes
 */
export function readBody(
  stream: Readable,
  limit: number,
  signal?: AbortSignal,
  room: Buffer = Buffer.allocUnsafe(FIRST_BYTES),
): Promise<Body> {
  let kept = room
  let size = 0
  const keep = (chunk: Buffer): void => {
    const needed = size + chunk.length
    if (needed > kept.length) kept = larger(kept, size, Math.min(Math.max(2 * kept.length, needed), limit))
    size += chunk.copy(kept, size)
  }
  return readThrough(stream, limit, keep, () => kept.subarray(0, size), signal)
}

/** Reads a body and keeps nothing of it. @param limit bytes beyond which it is too large @returns no bytes where it is not */
export function discardBody(stream: Readable, limit: number, signal: AbortSignal): Promise<Body> {
  return readThrough(
    stream,
    limit,
    () => {},
    () => NOTHING,
    signal,
  )
}

const NOTHING = Buffer.alloc(0)

/** @param keep is given what comes up to the limit */
function readThrough(
  stream: Readable,
  limit: number,
  keep: (chunk: Buffer) => void,
  kept: () => Buffer,
  signal: AbortSignal | undefined,
): Promise<Body> {
  return new Promise((resolve) => {
    let size = 0
    const onData = (chunk: Buffer) => {
      size += chunk.length
      if (size <= limit) keep(chunk)
      if (size > MAX_DISCARDED_BYTES) settle({ kind: 'too large' })
    }
    const onEnd = () => settle(size > limit ? { kind: 'too large' } : { kind: 'whole', bytes: kept() })
    const onBroken = () => settle({ kind: 'broken off' })
    const onAbort = () => settle({ kind: 'too slow' })

    function settle(body: Body): void {
      stream.off('data', onData).off('end', onEnd).off('error', onBroken).off('close', onBroken)
      signal?.removeEventListener('abort', onAbort)
      if (!stream.readableEnded) stream.pause()
      resolve(body)
    }

    stream.on('data', onData).on('end', onEnd).on('error', onBroken).on('close', onBroken)
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted) onAbort()
    else if (stream.destroyed) onBroken()
  })
}

function larger(bytes: Buffer, size: number, capacity: number): Buffer {
  const copy = Buffer.allocUnsafe(capacity)
  bytes.copy(copy, 0, 0, size)
  return copy
}
