/** Bodies that others send, as far as somebody may want them in memory. */

/**
 * @param source ends, with its connection, where it gives more
 * @returns all of it, or undefined where it is longer
 * @throws what the source throws: its connection broke off, or was ended
 */
export async function readAtMost(source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of source) {
    length += chunk.length
    if (length > maxBytes) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
