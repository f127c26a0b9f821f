/**
 * Unpadded base64 in the standard alphabet (keys, signatures, hashes) and the URL-safe one (event and room ids).
 * https://spec.matrix.org/latest/appendices/#unpadded-base64
 */

const STANDARD = /^[A-Za-z0-9+/]*={0,2}$/

/**
 * Decodes standard base64, with or without padding. Buffer would read junk, URL-safe letters and truncated text.
 * @returns undefined where the text is not base64 of the standard alphabet
 */
export function decodeBase64(text: string): Uint8Array | undefined {
  if (!STANDARD.test(text)) return undefined
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  const letters = text.length - padding
  if (letters % 4 === 1 || (padding > 0 && (letters + padding) % 4 !== 0)) return undefined
  return Buffer.from(text, 'base64')
}

/** Encodes in the standard alphabet without padding. */
export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64').replace(/=+$/, '')
}

/** Encodes in the URL-safe alphabet without padding. https://spec.matrix.org/latest/appendices/#unpadded-base64 */
export function encodeBase64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url')
}
