import { describe, expect, it } from 'vitest'
import type { Handover, HandoverOutcome } from '../../src/knock/ports/homeserver.ts'
import type { KnockAttempt } from '../../src/knock/ports/rooms.ts'
import type { Store } from '../../src/knock/ports/store.ts'
import { settleAttempts } from '../../src/knock/settle-attempts.ts'
import type { EventId, ServerName } from '../../src/matrix/identifiers.ts'
import { refusal } from '../../src/matrix/refusal.ts'
import type { SignedEvent } from '../support/events.ts'
import { canonical } from '../support/signing.ts'
import { bans, type Person, person, withEvent } from '../support/test-room.ts'
import { ALICE, CAROL, HERE, importRoom, NOW, REMOTE, type StageOptions, stage, usualRoom } from './stage.ts'

const UNKNOWN: HandoverOutcome = { kind: 'unknown', reason: 'send: no answer in time' }
const DEADLINE = NOW + 5_000
const LATER = NOW + 60_000

interface PlayOptions extends StageOptions {
  readonly homeserverDelivers?: boolean
}

/** A homeserver that says of each knock what the test says, and has those in the room that the test puts there. */
async function play({ homeserverDelivers = false, ...options }: PlayOptions = {}) {
  const present = new Set<EventId>()
  const asked: { readonly room: string; readonly knocks: readonly EventId[]; readonly deadline: number }[] = []
  const set = {
    outcome: UNKNOWN,
    answers: true,
    handed: 0,
    /** Called while a knock is handed over. */
    meanwhile: async (): Promise<void> => undefined,
  }
  const handover: Handover = {
    homeserverDelivers,
    async handOver() {
      set.handed += 1
      await set.meanwhile()
      return set.outcome
    },
  }
  const supply = { refresh: async () => ({ kind: 'fresh' as const, ageMs: 7 }) }
  const scene = await stage(usualRoom(), { ...options, homeserver: { supply, handover, templates: undefined } })
  const { store } = scene
  const attempts = () => store.listAttempts(99)
  const settle = async (some?: readonly KnockAttempt[]) =>
    settleAttempts(
      {
        serverName: HERE.name as ServerName,
        store: scene.ports.store,
        clock: () => LATER,
        witness: {
          async whichAreIn(room, knocks, deadline) {
            asked.push({ room, knocks, deadline })
            return set.answers ? new Set(knocks.filter((id) => present.has(id))) : undefined
          },
        },
      },
      some ?? (await attempts()),
      DEADLINE,
    )
  /** Sends a knock of unknown outcome. */
  async function lost(who: Person = CAROL): Promise<SignedEvent> {
    const event = scene.knock(who)
    expect(await scene.send(event)).toMatchObject({ status: 404 })
    return event
  }
  const cameIn = ({ eventId }: SignedEvent) => void present.add(eventId as EventId)
  return { ...scene, set, asked, attempts, settle, lost, cameIn }
}

describe('an attempt to hand a knock over', () => {
  it('is kept before the homeserver can have the knock, with what its record needs', async () => {
    const { set, attempts, knock, send } = await play()
    const event = knock(CAROL)
    let before: readonly KnockAttempt[] = []
    set.meanwhile = async () => {
      before = await attempts()
    }
    await send(event)
    expect(before).toEqual([
      {
        event: { ...event, json: canonical(event.pdu).toString() },
        decision: {
          ...{ time: NOW, endpoint: 'send_knock', roomId: event.pdu.room_id, userId: CAROL.id, origin: REMOTE.name },
          ...{ eventId: event.eventId, outcome: 'accepted', status: 200, errcode: undefined, reason: 'accepted' },
          rule: expect.stringMatching(/^auth v10 /),
          facts: { roomVersion: '10', revision: 1, joinRule: 'knock', membership: undefined, ageMs: 7 },
        },
      },
    ])
    expect(await attempts()).toEqual(before)
  })

  it.each<[string, HandoverOutcome]>([
    ['was accepted', { kind: 'accepted' }],
    ['was refused', { kind: 'refused', refusal: refusal('M_FORBIDDEN', 'no', 'handover: send') }],
  ])('ends where the knock %s', async (_what, outcome) => {
    const { set, attempts, knock, send } = await play()
    set.outcome = outcome
    await send(knock(CAROL))
    expect([set.handed, await attempts()]).toEqual([1, []])
  })

  it('ends where the room refuses the knock by now', async () => {
    const { set, attempts, knock, send, store, room } = await play()
    set.outcome = { kind: 'overtaken' }
    set.meanwhile = () => importRoom(store, { ...usualRoom('10', [bans(ALICE, CAROL)]), roomId: room.roomId })
    expect(await send(knock(CAROL))).toMatchObject({ status: 403 })
    expect(await attempts()).toEqual([])
  })

  it('ends where the remote tries again and the knock is seen', async () => {
    const { set, attempts, send, lost } = await play()
    const event = await lost()
    expect(await attempts()).toHaveLength(1)
    set.outcome = { kind: 'accepted' }
    expect(await send(event)).toMatchObject({ ok: true })
    expect(await attempts()).toEqual([])
  })

  it('is not kept where the homeserver delivers', async () => {
    const { attempts, lost } = await play({ homeserverDelivers: true })
    await lost()
    expect(await attempts()).toEqual([])
  })

  it('is not made where it cannot be kept: the knock could not be recorded either', async () => {
    const wrap = (store: Store): Store => ({ ...store, beginAttempt: async () => false })
    const { set, knock, send } = await play({ wrap })
    expect(await send(knock(CAROL))).toMatchObject({ status: 500, rule: 'recording the knock' })
    expect(set.handed).toBe(0)
  })
})

describe('settling attempts', () => {
  it('records a knock that is in its room, says that it was seen later, and delivers it', async () => {
    const { settle, lost, cameIn, attempts, membership, delivered, decisions, asked, room, set } = await play()
    const event = await lost()
    cameIn(event)
    expect(await settle()).toMatchObject({ settled: [{ event: { eventId: event.eventId } }], answered: true })
    expect(asked).toEqual([{ room: room.roomId, knocks: [event.eventId], deadline: DEADLINE }])
    expect(await membership(CAROL)).toBe('knock')
    expect(await delivered()).toMatchObject([{ eventId: event.eventId }])
    const reason = 'accepted: it was seen in the room later'
    expect(await decisions()).toMatchObject([
      { outcome: 'accepted', status: 200, reason, time: LATER, rule: expect.stringMatching(/^auth v10 /) },
      { outcome: 'refused', status: 404 },
    ])
    expect([await attempts(), set.handed]).toEqual([[], 1])
  })

  it('leaves those alone that are not in their room, and gives nothing to the homeserver again', async () => {
    const { settle, lost, attempts, delivered, membership, set } = await play()
    await lost()
    expect(await settle()).toEqual({ settled: [], answered: true })
    expect([await attempts(), await delivered(), set.handed]).toMatchObject([[{}], [], 1])
    expect(await membership(CAROL)).toBeUndefined()
  })

  it('asks once for all that are in one room', async () => {
    const { settle, lost, cameIn, asked, attempts } = await play()
    const first = await lost()
    await lost(person('dan', REMOTE))
    const last = await lost(person('erin', REMOTE))
    for (const event of [first, last]) cameIn(event)
    expect((await settle()).settled).toHaveLength(2)
    expect(asked).toMatchObject([{ knocks: { length: 3 } }])
    expect(await attempts()).toHaveLength(1)
  })

  it('waits while the homeserver does not answer', async () => {
    const { settle, lost, cameIn, set, attempts } = await play()
    cameIn(await lost())
    set.answers = false
    expect(await settle()).toEqual({ settled: [], answered: false })
    expect(await attempts()).toHaveLength(1)
    set.answers = true
    expect((await settle()).settled).toHaveLength(1)
  })

  it('waits while the store cannot write', async () => {
    let isFull = true
    const wrap = (store: Store): Store => ({
      ...store,
      commitKnock: async (commit) => (isFull ? { kind: 'failed', reason: 'disk full' } : store.commitKnock(commit)),
    })
    const { settle, lost, cameIn, attempts, delivered } = await play({ wrap })
    cameIn(await lost())
    expect(await settle()).toEqual({ settled: [], answered: false })
    expect(await attempts()).toHaveLength(1)
    isFull = false
    expect((await settle()).settled).toHaveLength(1)
    expect(await delivered()).toHaveLength(1)
  })

  it('records a knock once where the remote tries again at the same moment', async () => {
    const { settle, lost, cameIn, send, set, attempts, delivered, decisions } = await play()
    const event = await lost()
    cameIn(event)
    set.outcome = { kind: 'accepted' }
    const [, answer] = await Promise.all([settle(), send(event)])
    expect(answer).toMatchObject({ ok: true })
    expect(await delivered()).toHaveLength(1)
    expect((await decisions()).filter(({ outcome }) => outcome === 'accepted')).toHaveLength(1)
    expect(await attempts()).toEqual([])
  })

  it('answers the remote as for a repeat where it was settled while it was handed over again', async () => {
    const { settle, lost, cameIn, send, set, attempts, delivered } = await play()
    const event = await lost()
    cameIn(event)
    set.outcome = { kind: 'accepted' }
    set.meanwhile = async () => void (await settle())
    expect(await send(event)).toMatchObject({ ok: true })
    expect([set.handed, await attempts()]).toEqual([2, []])
    expect(await delivered()).toHaveLength(1)
  })

  it('forgets an attempt whose knock is recorded already', async () => {
    const { settle, lost, cameIn, attempts, delivered } = await play()
    cameIn(await lost())
    const some = await attempts()
    expect((await settle(some)).settled).toHaveLength(1)
    expect(await settle(some)).toEqual({ settled: [], answered: true })
    expect(await delivered()).toHaveLength(1)
  })

  it('records a knock that was read with its room meanwhile', async () => {
    const { settle, lost, cameIn, store, room, delivered } = await play()
    const event = await lost()
    await importRoom(store, withEvent(room, event))
    cameIn(event)
    expect((await settle()).settled).toHaveLength(1)
    expect(await delivered()).toHaveLength(1)
  })
})
