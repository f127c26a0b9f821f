import { describe, expect, it } from 'vitest'
import { merge } from '../../../src/federation/keys/records.ts'
import type { StoredServerKeys } from '../../../src/knock/ports/rooms.ts'
import type { KeyId, ServerName } from '../../../src/matrix/identifiers.ts'

/** A record with 20 current and 200 retired keys of its own. */
function recordOf(round: number): StoredServerKeys {
  const keys = (kind: string, count: number, old: boolean) =>
    Array.from({ length: count }, (_, at) => ({
      keyId: `ed25519:${kind}${round}_${at}` as KeyId,
      key: new Uint8Array(32),
      validUntil: round,
      old,
    }))
  return {
    server: 'there.test' as ServerName,
    fetchedAt: round,
    keys: [...keys('current', 20, false), ...keys('retired', 200, true)],
  }
}

describe('records of one server', () => {
  it('C5 are merged up to what one key object can hold, first what is current for longest', () => {
    for (const order of [
      [1, 2, 3],
      [3, 1, 2],
    ]) {
      const { keys } = order.map(recordOf).reduce((one, other) => merge(one, other))
      const named = (kind: string) => keys.filter(({ keyId }) => keyId.startsWith(`ed25519:${kind}`))
      expect([named('current'), named('retired')]).toMatchObject([{ length: 32 }, { length: 256 }])
      expect([named('current3'), named('retired3')]).toMatchObject([{ length: 20 }, { length: 200 }])
    }
  })
})
