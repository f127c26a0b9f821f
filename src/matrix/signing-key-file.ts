/**
 * Signing keys as homeservers keep them in files: Synapse's line of algorithm, version and seed, Dendrite's PEM block.
 * https://spec.matrix.org/latest/appendices/#signing-details
 */
import { decodeBase64, encodeBase64 } from './base64.ts'
import type { SigningKey } from './ed25519.ts'
import { parseKeyId } from './identifiers.ts'
import { signingKeyFromSeed } from './portable-ed25519.ts'

export type SigningKeyFile =
  | { readonly ok: true; readonly key: SigningKey }
  | { readonly ok: false; readonly reason: string }

const NEITHER = "it is neither Synapse's line `ed25519 VERSION SEED` nor Dendrite's PEM block `MATRIX PRIVATE KEY`"
const PEM_TYPE = 'MATRIX PRIVATE KEY'
const BEGIN = /^-----BEGIN (.*)-----$/
const HEADER = /^([A-Za-z-]+):\s*(.*)$/

/**
 * Reads the key that a homeserver signs with: of several lines or blocks the first, as they do.
 * @param text the whole file
 * @returns the key, or what is wrong with the file, which never shows any of it
 */
export function parseSigningKeyFile(text: string): SigningKeyFile {
  const lines = text.split(/\r?\n/).map((line) => line.trim())
  const first = lines.find((line) => line !== '')
  if (first === undefined) return { ok: false, reason: 'the file is empty' }
  return lines.some((line) => BEGIN.test(line)) ? parsePem(lines) : parseLine(first)
}

function parseLine(line: string): SigningKeyFile {
  const [algorithm = '', version = '', seed = '', ...rest] = line.split(/\s+/)
  if (algorithm !== 'ed25519' || rest.length > 0 || seed === '') return { ok: false, reason: NEITHER }
  return keyOf(`${algorithm}:${version}`, seed)
}

/** Blocks of other types and text around them are passed over. */
function parsePem(lines: readonly string[]): SigningKeyFile {
  const begin = lines.indexOf(`-----BEGIN ${PEM_TYPE}-----`)
  if (begin < 0) return { ok: false, reason: `it holds PEM of another type than \`${PEM_TYPE}\`` }
  const end = lines.indexOf(`-----END ${PEM_TYPE}-----`, begin)
  if (end < 0) return { ok: false, reason: `the PEM block has no line -----END ${PEM_TYPE}-----` }
  const inside = lines.slice(begin + 1, end)
  const headers = inside.flatMap((line) => {
    const [, name, value = ''] = HEADER.exec(line) ?? []
    return name === 'Key-ID' ? [value] : []
  })
  const [keyId, ...others] = headers
  if (keyId === undefined || others.length > 0) {
    return { ok: false, reason: 'the PEM block must have one header `Key-ID: ed25519:VERSION`' }
  }
  if (!keyId.startsWith('ed25519:')) return { ok: false, reason: 'its Key-ID is not of the form ed25519:VERSION' }
  return keyOf(keyId, inside.filter((line) => !HEADER.test(line)).join(''))
}

function keyOf(id: string, seed: string): SigningKeyFile {
  const keyId = parseKeyId(id)
  if (keyId === undefined) return { ok: false, reason: 'the key version may hold letters, digits and _ only' }
  const bytes = decodeBase64(seed)
  if (bytes?.length !== 32) return { ok: false, reason: 'the seed is not the base64 of 32 bytes' }
  return { ok: true, key: signingKeyFromSeed(keyId, bytes) }
}

/** The file's text for a key, as Synapse's line. It is a secret: keep it readable by its owner alone. */
export function writeSigningKeyFile(key: SigningKey): string {
  const [algorithm, version] = key.keyId.split(':')
  return `${algorithm} ${version} ${encodeBase64(key.seed)}\n`
}
