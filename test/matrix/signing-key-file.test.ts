import { describe, expect, it } from 'vitest'
import { encodeBase64 } from '../../src/matrix/base64.ts'
import type { KeyId } from '../../src/matrix/identifiers.ts'
import { signingKeyFromSeed } from '../../src/matrix/portable-ed25519.ts'
import { parseSigningKeyFile, writeSigningKeyFile } from '../../src/matrix/signing-key-file.ts'

const SEED = 'YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1'
const PUBLIC_KEY = 'XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI'

const BEGIN = '-----BEGIN MATRIX PRIVATE KEY-----'
const END = '-----END MATRIX PRIVATE KEY-----'

/** A file as Dendrite writes it. */
function pem(seed = `${SEED}=`, ...headers: readonly string[]): string {
  return [BEGIN, ...(headers.length > 0 ? headers : ['Key-ID: ed25519:a_1']), '', seed, END, ''].join('\n')
}

describe('signing key file', () => {
  it.each([
    ['a PEM block', pem()],
    ['a PEM block of unpadded base64', pem(SEED)],
    ['a PEM block with line ends of Windows', pem().replaceAll('\n', '\r\n')],
    ['a PEM block without the end of its last line', pem().trimEnd()],
    ['a PEM block in several lines', pem(`${SEED.slice(0, 20)}\n${SEED.slice(20)}=`)],
    ['a PEM block with other headers', pem(`${SEED}=`, 'Created: 2026', 'Key-ID: ed25519:a_1', 'Comment: x: y')],
    ['a PEM block with text around it', `made on Monday\n${pem()}and kept\n`],
    ['a second PEM block, which does not count', pem() + pem(`${'A'.repeat(43)}=`, 'Key-ID: ed25519:b')],
    ['a PEM block of another type before', `-----BEGIN NOTE-----\nAAAA\n-----END NOTE-----\n${pem()}`],
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
    ['a PEM block without a Key-ID', pem(`${SEED}=`, 'Comment: none'), 'one header `Key-ID: ed25519:VERSION`'],
    ['two of them', pem(`${SEED}=`, 'Key-ID: ed25519:a', 'Key-ID: ed25519:b'), 'one header `Key-ID'],
    ['a Key-ID after the seed of nothing', pem('', 'Key-ID: ed25519:a'), '32 bytes'],
    ['a Key-ID of another case', pem(`${SEED}=`, 'key-id: ed25519:a'), 'one header `Key-ID'],
    ['a Key-ID of another algorithm', pem(`${SEED}=`, 'Key-ID: curve25519:a'), 'ed25519:VERSION'],
    ['a Key-ID without a version', pem(`${SEED}=`, 'Key-ID: ed25519:'), 'letters, digits and _'],
    ['a Key-ID that no server could publish', pem(`${SEED}=`, 'Key-ID: ed25519:a-b'), 'letters, digits and _'],
    ['a PEM block that does not end', pem().replace(END, ''), `no line ${END}`],
    ['a PEM block that ends as another', pem().replace(END, '-----END KEY-----'), `no line ${END}`],
    ['a PEM block that ends before it begins', `${END}\n${BEGIN}\nKey-ID: ed25519:a\n\n${SEED}\n`, `no line ${END}`],
    ['a PEM block of 31 bytes', pem(Buffer.alloc(31).toString('base64')), '32 bytes'],
    ['a PEM block of 64 bytes', pem(Buffer.alloc(64).toString('base64')), '32 bytes'],
    ['a PEM block in URL-safe base64', pem(`${SEED.slice(0, -1)}-`), '32 bytes'],
    ['a PEM block with something after the seed', pem(`${SEED}=\nAAAA`), '32 bytes'],
    ['a megabyte of dashes', '-'.repeat(1_000_000), 'ed25519 VERSION SEED'],
    ['a megabyte of beginnings', `${BEGIN}\n`.repeat(30_000), `no line ${END}`],
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
    ['a key in PEM', '-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n', 'PEM of another type'],
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
