import { describe, expect, it } from 'vitest'
import type { Keyring, StoredServerKeys } from '../../src/knock/ports/rooms.ts'
import { nativeEd25519 } from '../../src/matrix/ed25519.ts'
import type { KeyId, RoomId, ServerName } from '../../src/matrix/identifiers.ts'
import { createSignatureAudit } from '../../src/upkeep/signature-audit.ts'
import { ALICE, HERE, keyringOf, NOW } from '../knock/stage.ts'
import { fileOf, importStage } from '../rooms/import-stage.ts'
import { createIdentity, type Identity } from '../support/signing.ts'
import { buildRoom, joins, opening, person } from '../support/test-room.ts'

const GONE = createIdentity('gone.test')
const OLD = person('old', GONE)

async function auditedStage() {
  const { store, import: bring } = importStage([HERE])
  const room = buildRoom('10', OLD, [...opening(OLD, '10'), joins(ALICE)], { since: NOW - 1000 })
  await bring(fileOf(room))
  const roomId = room.roomId as RoomId
  const wrong: string[] = []
  const doubtful: string[] = []
  const failures: unknown[] = []
  return {
    store,
    roomId,
    wrong,
    doubtful,
    failures,
    /** Runs one round with these keys at hand. */
    async audit(keyring: Keyring): Promise<void> {
      const observer = {
        doubtful: (_: unknown, event: { pdu: { type: string } }) => void doubtful.push(event.pdu.type),
        wrong: (_: unknown, event: { pdu: { type: string } }) => void wrong.push(event.pdu.type),
        failed: (error: unknown) => void failures.push(error),
      }
      const audit = createSignatureAudit({ store, keyring, ed25519: nativeEd25519, clock: () => NOW, observer })
      audit.start()
      await audit.stop()
    },
    open: async () => (await store.unverifiedEvents(10)).length,
    facts: async () => (await store.readFacts(roomId))?.state.map(({ pdu }) => pdu.type).sort(),
  }
}

/** The key of a server as it was fetched at a time. */
function published({ name, keyId, publicKey }: Identity, fetchedAt: number): StoredServerKeys {
  const key = { keyId: keyId as KeyId, key: publicKey, validUntil: fetchedAt + 7 * 86_400_000, old: false }
  return { server: name as ServerName, fetchedAt, keys: [key] }
}

const FACTS = ['m.room.create', 'm.room.join_rules', 'm.room.power_levels']

describe('signatures that could not be checked at import', () => {
  it('are checked once the keys can be had, and asked for no more', async () => {
    const { audit, open, facts, wrong } = await auditedStage()
    await audit(keyringOf([HERE], []))
    expect(await open()).toBe(3)
    const verified: string[] = []
    await audit(keyringOf([GONE], [], verified))
    expect(await open()).toBe(0)
    expect(new Set(verified)).toEqual(new Set([GONE.name]))
    expect(await facts()).toEqual(FACTS)
    expect(wrong).toEqual([])
  })

  it('close what they stand for where the server had said before that its key is another', async () => {
    const { audit, open, facts, wrong, store, roomId } = await auditedStage()
    const other = createIdentity(GONE.name, GONE.keyId)
    await store.writeServerKeys(published(other, NOW - 60_000))
    const verified: string[] = []
    await audit(keyringOf([other], [], verified))
    expect(verified).toEqual([])
    expect(await open()).toBe(0)
    expect(await facts()).toEqual([])
    expect(wrong.sort()).toEqual(FACTS)
    const flaws = (await store.readFacts(roomId))?.flaws
    expect(flaws).toEqual(FACTS.map((type) => ({ type, reason: 'its signature is wrong' })))
  })

  it.each([
    ['that is published since', NOW + 60_000],
    ['of which nobody knows since when', undefined],
  ])('prove nothing by another key under the same id %s', async (_what, since) => {
    const { audit, open, facts, wrong, doubtful, store } = await auditedStage()
    const other = createIdentity(GONE.name, GONE.keyId)
    if (since !== undefined) await store.writeServerKeys(published(other, since))
    await audit(keyringOf([other], []))
    expect(await facts()).toEqual(FACTS)
    expect(wrong).toEqual([])
    expect(doubtful.sort()).toEqual(FACTS)
    expect(await open()).toBe(3)
  })

  it('hold by a key that is stored, whatever the server publishes under its id by now', async () => {
    const { audit, open, facts, wrong, doubtful, store } = await auditedStage()
    await store.writeServerKeys(published(GONE, NOW - 60_000))
    await audit(keyringOf([createIdentity(GONE.name, GONE.keyId)], []))
    expect(await open()).toBe(0)
    expect(await facts()).toEqual(FACTS)
    expect([wrong, doubtful]).toEqual([[], []])
  })

  it('wait for another round where the keyring fails', async () => {
    const { audit, open, failures } = await auditedStage()
    const broken: Keyring = { keysFor: () => Promise.reject(new Error('no store')), proved: () => {} }
    await audit(broken)
    expect(failures).toHaveLength(1)
    expect(await open()).toBe(3)
  })
})
