import { createHash, createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { markerOf } from '../../src/homeserver/homeserver-client.ts'
import type { KeyId, ServerName } from '../../src/matrix/identifiers.ts'
import { signingKeyFromSeed } from '../../src/matrix/portable-ed25519.ts'

const serverName = 'resident.example' as ServerName
const url = 'http://127.0.0.1:8008'
const whose = { serverName, url }
const keyOf = (byte: number) => signingKeyFromSeed('ed25519:a_1' as KeyId, Buffer.alloc(32, byte))

describe('the marker of our own requests', () => {
  it('is a secret of the process where there is no signing key', () => {
    const markers = Array.from({ length: 10 }, () => markerOf({ ...whose, signingKey: undefined }))
    expect(new Set(markers).size).toBe(10)
    for (const marker of markers) expect(marker).toMatch(/^[\w-]{43}$/)
  })

  it('is that of all processes with the key, and of nobody who knows only what the key is published as', () => {
    const marker = markerOf({ ...whose, signingKey: keyOf(1) })
    expect(markerOf({ ...whose, signingKey: keyOf(1) })).toBe(marker)
    expect(markerOf({ ...whose, signingKey: keyOf(2) })).not.toBe(marker)
    const { publicKey } = keyOf(1)
    const label = 'matrix-knock marker\0'
    const guesses = [publicKey, Buffer.from(url), Buffer.alloc(0)].flatMap((known) => [
      createHash('sha256').update(label).update(serverName).update(known).digest('base64url'),
      createHmac('sha256', known).update(label).update(serverName).digest('base64url'),
    ])
    expect(guesses).not.toContain(marker)
  })
})
