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

/** So much of a body is read at all. */
const MAX_DISCARDED_BYTES = 32 * 1024 * 1024

/** @param limit bytes that are kept */
export function readBody(stream: Readable, limit: number): Promise<Body> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let size = 0
    stream.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= limit) chunks.push(chunk)
      else chunks.length = 0
      if (size > MAX_DISCARDED_BYTES) {
        stream.pause()
        resolve({ kind: 'too large' })
      }
    })
    stream.on('end', () => resolve(size > limit ? { kind: 'too large' } : { kind: 'whole', bytes: join(chunks) }))
    stream.on('error', () => resolve({ kind: 'broken off' }))
    stream.on('close', () => resolve({ kind: 'broken off' }))
  })
}

function join(chunks: readonly Buffer[]): Buffer {
  const [only, ...more] = chunks
  return only !== undefined && more.length === 0 ? only : Buffer.concat(chunks)
}
