import { describe, expect, it } from 'vitest'
import type { UserId } from '../../../src/matrix/identifiers.ts'
import { accept, BOB, CAROL, commitOf, event, importRoom, knock, ROOM } from '../sample-room.ts'
import { temporaryStore } from './temporary-store.ts'

const userOf = (at: number) => `@u${at}:remote.test` as UserId

/** Makes the database refuse whatever names one user. */
const REFUSE = `
  CREATE FUNCTION refuse_one() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF NEW.state_key = convert_to('${userOf(7)}', 'UTF8') THEN
      RAISE EXCEPTION 'not this one';
    END IF;
    RETURN NEW;
  END $$;
  CREATE TRIGGER refuse BEFORE INSERT ON state FOR EACH ROW EXECUTE FUNCTION refuse_one()`

describe('knocks that share a transaction', () => {
  it('do not fail with one of them, of which nothing is written', async () => {
    const schema = await temporaryStore()
    const store = await schema.open()
    await importRoom(store)
    await schema.query(REFUSE)
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, at) => store.commitKnock(commitOf(knock(`k${at}`, userOf(at), ['bob']), 1))),
    )
    expect(outcomes.flatMap(({ kind }, at) => (kind === 'committed' ? [] : [at]))).toEqual([7])
    expect(outcomes[7]).toEqual({ kind: 'failed', reason: expect.stringContaining('not this one') })
    expect(await schema.rows()).toMatchObject({ knocks: 19, decisions: 19, outbox: 19, extremities: 20 })
    expect((await store.readRoom(ROOM, BOB))?.head.revision).toBe(20)
    expect(await store.check()).toEqual({ ok: true })
  })

  it('leave the store unready while none can be written', async () => {
    const schema = await temporaryStore()
    const store = await schema.open()
    await importRoom(store)
    await schema.query('ALTER TABLE server_keys ADD CHECK (length(json) < 10); ALTER TABLE outbox ADD CHECK (false)')
    expect((await accept(store, knock('k', CAROL, ['bob']))).kind).toBe('failed')
    expect(await store.check()).toEqual({ ok: false, reason: expect.stringMatching(/^the store cannot be written: /) })
    await schema.query('ALTER TABLE server_keys DROP CONSTRAINT server_keys_json_check')
    expect(await store.check()).toEqual({ ok: true })
  })

  it('of a room that was read with one of them as an extremity are recorded all the same', async () => {
    const schema = await temporaryStore()
    const store = await schema.open()
    await importRoom(store, { extremities: [event('k', { depth: 9 }), event('bob', { depth: 5 })] })
    const handedOver = { ...commitOf(knock('k', CAROL, ['bob']), 1), expect: 'in the room' as const }
    expect(await store.commitKnock(handedOver)).toEqual({ kind: 'committed', revision: 2 })
    expect((await store.readExtremities(ROOM))?.extremities.map(({ eventId }) => eventId)).toHaveLength(1)
  })
})
