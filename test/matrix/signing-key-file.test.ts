import { describe, expect, it } from 'vitest'
import { encodeBase64 } from '../../src/matrix/base64.ts'
import { signingKeyFromSeed } from '../../src/matrix/ed25519.ts'
import type { KeyId } from '../../src/matrix/identifiers.ts'
import { parseSigningKeyFile, writeSigningKeyFile } from '../../src/matrix/signing-key-file.ts'

const SEED = 'YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1'
const PUBLIC_KEY = 'XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI'

describe('signing key file', () => {
  it.each([
    ['a line', `ed25519 a_1 ${SEED}\n`],
    ['a line without its end', `ed25519 a_1 ${SEED}`],
    ['padded base64', `ed25519 a_1 ${SEED}=\n`],
    ['line ends of Windows', `ed25519 a_1 ${SEED}\r\n`],
    ['blank lines and spaces around', `\n  \n  ed25519\t a_1   ${SEED}  \n\n`],
    ['a second key, which does not count', `ed25519 a_1 ${SEED}\ned25519 a_2 ${'A'.repeat(43)}\n`],
  ])('reads %s', (_what, text) => {
    const result = parseSigningKeyFile(text)
    expect(result.ok && [result.key.keyId, encodeBase64(result.key.publicKey)]).toEqual(['ed25519:a_1', PUBLIC_KEY])
  })

  it.each([
    ['nothing', '', 'empty'],
    ['blank lines', ' \n\n', 'empty'],
    ['another algorithm', `curve25519 a_1 ${SEED}`, 'ed25519 VERSION SEED'],
    ['no seed', 'ed25519 a_1', 'ed25519 VERSION SEED'],
    ['four words', `ed25519 a_1 ${SEED} more`, 'ed25519 VERSION SEED'],
    ['a version with a hyphen', `ed25519 a-1 ${SEED}`, 'letters, digits and _'],
    ['a version with a colon', `ed25519 a:1 ${SEED}`, 'letters, digits and _'],
    ['31 bytes', `ed25519 a_1 ${encodeBase64(Buffer.alloc(31))}`, '32 bytes'],
    ['33 bytes', `ed25519 a_1 ${encodeBase64(Buffer.alloc(33))}`, '32 bytes'],
    ['a seed that is no base64', `ed25519 a_1 ${'*'.repeat(43)}`, '32 bytes'],
    ['a key in PEM', '-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n', 'ed25519 VERSION SEED'],
  ])('refuses %s, and says why without showing the key', (_what, text, reason) => {
    const result = parseSigningKeyFile(text)
    expect(result).toEqual({ ok: false, reason: expect.stringContaining(reason) })
    expect(JSON.stringify(result)).not.toContain(SEED)
  })

  it('writes what it reads', () => {
    const key = signingKeyFromSeed('ed25519:b_2' as KeyId, Buffer.alloc(32, 9))
    const text = writeSigningKeyFile(key)
    expect(text).toBe(`ed25519 b_2 ${encodeBase64(Buffer.alloc(32, 9))}\n`)
    const result = parseSigningKeyFile(text)
    expect(result.ok && encodeBase64(result.key.secretKey)).toBe(encodeBase64(key.secretKey))
  })
})
