import { describe, expect, it, onTestFinished } from 'vitest'
import type { KnockAttempt } from '../../src/knock/ports/rooms.ts'
import type { EventId, ServerName } from '../../src/matrix/identifiers.ts'
import { type AttemptSettlingPorts, createAttemptSettling } from '../../src/upkeep/attempt-settling.ts'
import { CAROL, decision, HERE, id, importRoom, knock } from '../store/sample-room.ts'
import { createMemoryStore } from '../support/memory-store/memory-store.ts'

const UNDER_WAY_MS = 6_000
const QUICK = { gapMs: 1, pauseMs: 5, longestPauseMs: 20 }
const MINUTE = 60_000

/** Settling on a memory store, with a homeserver that answers as the test says. */
async function settlingStage(pace = QUICK, changes: Partial<AttemptSettlingPorts['store']> = {}) {
  let now = 1_700_000_000_000
  const store = createMemoryStore({ clock: () => now })
  await importRoom(store)
  const present = new Set<EventId>()
  const looks: (readonly EventId[])[] = []
  const lookedAt: number[] = []
  const settled: EventId[] = []
  const counts: number[] = []
  const failures: unknown[] = []
  let tell = (): void => undefined
  const play = { answers: true }
  const settling = createAttemptSettling(
    {
      serverName: HERE as ServerName,
      store: { ...store, ...changes },
      clock: () => now,
      underWayMs: UNDER_WAY_MS,
      witness: {
        async whichAreIn(_room, knocks) {
          looks.push(knocks)
          lookedAt.push(performance.now())
          return play.answers ? new Set(knocks.filter((eventId) => present.has(eventId))) : undefined
        },
        onTold(listener) {
          tell = listener
        },
      },
      observer: {
        settled: ({ event }) => void settled.push(event.eventId),
        waiting: (count) => void counts.push(count),
        failed: (error) => void failures.push(error),
      },
    },
    pace,
  )
  onTestFinished(() => settling.stop())
  const begin = (name: string): Promise<unknown> => {
    const attempt: KnockAttempt = {
      event: knock(name, CAROL, ['bob']),
      decision: decision({ eventId: id(name), time: now }),
    }
    return store.beginAttempt(attempt)
  }
  return {
    store,
    settling,
    begin,
    looks,
    lookedAt,
    settled,
    counts,
    failures,
    play,
    tell: () => tell(),
    cameIn: (name: string) => void present.add(id(name)),
    pass(ms: number) {
      now += ms
    },
  }
}

/** Passes over all attempts that have ended. */
async function passes(stage: { readonly counts: readonly number[] }, more: number): Promise<void> {
  const before = stage.counts.length
  await expect.poll(() => stage.counts.length, { interval: 2 }).toBeGreaterThanOrEqual(before + more)
}

describe('attempts of unknown outcome', () => {
  it('are settled at the start, and whenever they turn out to be in their room', async () => {
    const stage = await settlingStage()
    for (const name of ['old', 'new']) await stage.begin(name)
    stage.pass(UNDER_WAY_MS)
    stage.cameIn('old')
    stage.settling.start()
    await expect.poll(() => stage.settled).toEqual([id('old')])
    stage.cameIn('new')
    await expect.poll(() => stage.settled).toEqual([id('old'), id('new')])
    expect((await stage.store.listDecisions({ limit: 9 })).length).toBe(2)
    await expect.poll(() => stage.counts.at(-1)).toBe(0)
    const { length } = stage.looks
    await passes(stage, 3)
    expect(stage.looks).toHaveLength(length)
  })

  it('are left to those who hand them over while they may be under way', async () => {
    const stage = await settlingStage()
    await stage.begin('k')
    stage.cameIn('k')
    stage.pass(UNDER_WAY_MS - 1)
    stage.settling.start()
    await passes(stage, 3)
    expect([stage.looks, stage.counts.at(-1)]).toEqual([[], 1])
    stage.pass(1)
    await expect.poll(() => stage.settled).toEqual([id('k')])
  })

  it('are all looked for, however many of them never show', async () => {
    const stage = await settlingStage()
    for (let at = 0; at < 130; at++) await stage.begin(`k${at}`)
    stage.pass(UNDER_WAY_MS)
    stage.settling.start()
    await passes(stage, 2)
    expect(new Set(stage.looks.flat()).size).toBe(130)
    expect(Math.max(...stage.looks.map(({ length }) => length))).toBe(50)
    expect(stage.counts.at(-1)).toBe(130)
  })

  it('are looked for once a minute after ten, and at once after a new start', async () => {
    const stage = await settlingStage()
    await stage.begin('k')
    stage.pass(10 * MINUTE)
    stage.settling.start()
    await passes(stage, 5)
    expect(stage.looks).toHaveLength(1)
    stage.pass(MINUTE)
    await expect.poll(() => stage.looks.length).toBe(2)
    await passes(stage, 3)
    expect(stage.looks).toHaveLength(2)
  })

  it('are looked for after longer and longer pauses while the homeserver does not answer', async () => {
    const stage = await settlingStage({ gapMs: 1, pauseMs: 20, longestPauseMs: 80 })
    await stage.begin('k')
    stage.pass(UNDER_WAY_MS)
    stage.play.answers = false
    stage.settling.start()
    await expect.poll(() => stage.lookedAt.length).toBeGreaterThanOrEqual(5)
    const gaps = stage.lookedAt.slice(1).map((at, before) => at - (stage.lookedAt[before] ?? 0))
    for (const [at, least] of [40, 80, 80, 80].entries()) expect(gaps[at]).toBeGreaterThan(least - 5)
    stage.cameIn('k')
    stage.play.answers = true
    await expect.poll(() => stage.settled).toEqual([id('k')])
  })

  it('are settled soon when the homeserver tells of a knock by itself', async () => {
    const stage = await settlingStage({ gapMs: 1, pauseMs: 60_000, longestPauseMs: 60_000 })
    await stage.begin('k')
    stage.pass(UNDER_WAY_MS)
    stage.settling.start()
    await passes(stage, 1)
    stage.cameIn('k')
    stage.tell()
    stage.tell()
    await expect.poll(() => stage.settled).toEqual([id('k')])
  })

  it('wait for another round where the store fails', async () => {
    let failing = true
    const stage: Awaited<ReturnType<typeof settlingStage>> = await settlingStage(QUICK, {
      listAttempts: (...asked) =>
        failing ? Promise.reject(new Error('no store')) : stage.store.listAttempts(...asked),
    })
    await stage.begin('k')
    stage.cameIn('k')
    stage.pass(UNDER_WAY_MS)
    stage.settling.start()
    await expect.poll(() => stage.failures.length).toBeGreaterThan(1)
    failing = false
    await expect.poll(() => stage.settled).toEqual([id('k')])
  })

  it('are looked for no more once it has stopped', async () => {
    const stage = await settlingStage()
    await stage.begin('k')
    stage.pass(UNDER_WAY_MS)
    stage.settling.start()
    await passes(stage, 1)
    await stage.settling.stop()
    const { length } = stage.looks
    stage.tell()
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(stage.looks).toHaveLength(length)
  })
})
