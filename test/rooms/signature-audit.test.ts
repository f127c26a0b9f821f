import { describe, expect, it } from 'vitest'
import type { Keyring } from '../../src/knock/ports.ts'
import { nativeEd25519 } from '../../src/matrix/ed25519.ts'
import type { RoomId } from '../../src/matrix/identifiers.ts'
import { createSignatureAudit } from '../../src/rooms/signature-audit.ts'
import { ALICE, HERE, keyringOf, NOW } from '../knock/stage.ts'
import { createIdentity } from '../support/signing.ts'
import { buildRoom, joins, opening, person } from '../support/test-room.ts'
import { fileOf, importStage } from './import-stage.ts'

const GONE = createIdentity('gone.test')
const OLD = person('old', GONE)

async function auditedStage() {
  const { store, import: bring } = importStage([HERE])
  const room = buildRoom('10', OLD, [...opening(OLD, '10'), joins(ALICE)], { since: NOW - 1000 })
  await bring(fileOf(room))
  const roomId = room.roomId as RoomId
  const wrong: string[] = []
  const failures: unknown[] = []
  return {
    store,
    roomId,
    wrong,
    failures,
    /** Runs one round with these keys at hand. */
    async audit(keyring: Keyring): Promise<void> {
      const observer = {
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

  it('leave the event out where they are wrong, and the room without its create event is unusable', async () => {
    const { audit, open, facts, wrong } = await auditedStage()
    const verified: string[] = []
    await audit(keyringOf([createIdentity(GONE.name, GONE.keyId)], [], verified))
    expect(verified).toEqual([])
    expect(await open()).toBe(0)
    expect(await facts()).toEqual([])
    expect(wrong.sort()).toEqual(FACTS)
  })

  it('wait for another round where the keyring fails', async () => {
    const { audit, open, failures } = await auditedStage()
    const broken: Keyring = { keysFor: () => Promise.reject(new Error('no store')), proved: () => {} }
    await audit(broken)
    expect(failures).toHaveLength(1)
    expect(await open()).toBe(3)
  })
})
