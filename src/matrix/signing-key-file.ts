/**
 * Signing keys as homeservers keep them in files: one line of algorithm, version and seed.
 * https://spec.matrix.org/latest/appendices/#signing-details
 */
import { decodeBase64, encodeBase64 } from './base64.ts'
import { type SigningKey, signingKeyFromSeed } from './ed25519.ts'
import { parseKeyId } from './identifiers.ts'

export type SigningKeyFile =
  | { readonly ok: true; readonly key: SigningKey }
  | { readonly ok: false; readonly reason: string }

/**
 * Reads `ed25519 a_1 <unpadded base64 seed>`, the format of Synapse. Of several lines the first counts, as it does there.
 * @param text the whole file
 */
export function parseSigningKeyFile(text: string): SigningKeyFile {
  const line = text.split(/\r?\n/).find((candidate) => candidate.trim() !== '')
  if (line === undefined) return { ok: false, reason: 'the file is empty' }
  const [algorithm = '', version = '', seed = '', ...rest] = line.trim().split(/\s+/)
  if (algorithm !== 'ed25519' || rest.length > 0 || seed === '') {
    return { ok: false, reason: 'expected one line `ed25519 VERSION SEED`' }
  }
  const keyId = parseKeyId(`${algorithm}:${version}`)
  if (keyId === undefined) return { ok: false, reason: 'the key version may hold letters, digits and _ only' }
  const bytes = decodeBase64(seed)
  if (bytes?.length !== 32) return { ok: false, reason: 'the seed is not the base64 of 32 bytes' }
  return { ok: true, key: signingKeyFromSeed(keyId, bytes) }
}

/** The file's text for a key. It is a secret: keep it readable by its owner alone. */
export function writeSigningKeyFile(key: SigningKey): string {
  const [algorithm, version] = key.keyId.split(':')
  return `${algorithm} ${version} ${encodeBase64(key.seed)}\n`
}
