/** Text as the store's tables hold it: UTF-8, because no text of PostgreSQL holds U+0000. */

export function bytes(text: string): Buffer {
  return Buffer.from(text, 'utf8')
}

export function text(bytea: Buffer): string {
  return bytea.toString('utf8')
}
