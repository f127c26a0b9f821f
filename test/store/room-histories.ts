/** Random histories of a room: knocks, imports, settlements and time, on two stores that must show the same. */
import fc from 'fast-check'
import { expect } from 'vitest'
import type { RoomImport } from '../../src/knock/ports/store.ts'
import type { RoomId, UserId } from '../../src/matrix/identifiers.ts'
import type { RoomEvent } from '../../src/matrix/pdu.ts'
import { DAY, type TestStore } from './contract.ts'
import { ALICE, accept, branchOf, HERE, id, knock, member, nameOf, sampleState } from './sample-room.ts'

const USERS = ['@a:one.test' as UserId, '@b:one.test' as UserId, '@c:two.test' as UserId]
const MAX_OPERATIONS = 14

type Operation =
  | { readonly kind: 'knock'; readonly user: number; readonly prev: readonly number[]; readonly again: boolean }
  | {
      readonly kind: 'stage'
      readonly members: readonly StagedMember[]
      readonly discard: boolean
      readonly tip: boolean
    }
  | { readonly kind: 'swap' }
  | { readonly kind: 'settle'; readonly event: string; readonly verdict: 'verified' | 'wrong' }
  | { readonly kind: 'wait'; readonly days: number }

interface StagedMember {
  readonly user: number
  readonly membership: string
  /** Descends from the user's last knock. */
  readonly answers: boolean
}

const user = fc.nat(USERS.length - 1)
const stagedMember: fc.Arbitrary<StagedMember> = fc.record({
  user,
  membership: fc.constantFrom('leave', 'invite', 'ban', 'join'),
  answers: fc.boolean(),
})
const knocking = fc.record({
  kind: fc.constant('knock' as const),
  user,
  prev: fc.array(fc.nat(20), { minLength: 1, maxLength: 3 }),
  again: fc.boolean(),
})
const staging = fc.record({
  kind: fc.constant('stage' as const),
  members: fc.uniqueArray(stagedMember, { maxLength: 3, selector: (staged) => staged.user }),
  discard: fc.boolean(),
  tip: fc.boolean(),
})
const settling = fc.record({
  kind: fc.constant('settle' as const),
  event: fc.constantFrom('rules', 'alice', 'bob'),
  verdict: fc.constantFrom('verified' as const, 'wrong' as const),
})
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { arbitrary: knocking, weight: 5 },
  { arbitrary: staging, weight: 2 },
  { arbitrary: fc.constant({ kind: 'swap' as const }), weight: 3 },
  { arbitrary: settling, weight: 1 },
  { arbitrary: fc.record({ kind: fc.constant('wait' as const), days: fc.constantFrom(0.4, 1) }), weight: 1 },
)

/** One store on its way: what it answers to each operation and what it shows after it. */
class Walk {
  readonly #store: TestStore
  readonly #room: RoomId
  readonly #tips: string[] = ['bob']
  readonly #lastKnock = new Map<number, string>()
  #staging: RoomImport | undefined
  #count = 0

  constructor(store: TestStore, room: RoomId) {
    this.#store = store
    this.#room = room
  }

  async step(operation: Operation): Promise<unknown> {
    this.#count++
    if (operation.kind === 'knock') return this.#knock(operation)
    if (operation.kind === 'stage') return this.#stage(operation)
    if (operation.kind === 'settle') return this.#store.settle(this.#room, id(operation.event), operation.verdict)
    if (operation.kind === 'wait') return this.#store.prune()
    const outcome = await this.#staging?.swap()
    this.#staging = undefined
    return outcome?.kind === 'refused' ? 'refused' : outcome
  }

  async show(): Promise<unknown> {
    const { readRoom, readFacts, readExtremities, roomSummary } = this.#store
    const members = []
    for (const who of [...USERS, ALICE]) {
      const found = await readRoom(this.#room, who)
      const branches = []
      for (const tip of this.#tips) branches.push(plain(await branchOf(this.#store, tip, who, this.#room)))
      members.push({ head: found?.head, member: found?.member?.eventId, branches })
    }
    const selection = await readExtremities(this.#room)
    return {
      members,
      facts: (await readFacts(this.#room))?.state.map(({ eventId }) => nameOf(eventId)),
      summary: await roomSummary(this.#room),
      extremities: selection?.extremities.map(({ eventId, depth }) => `${nameOf(eventId)} ${depth}`).sort(),
    }
  }

  #knock({ user: who, prev, again }: Operation & { kind: 'knock' }): Promise<unknown> {
    const before = this.#lastKnock.get(who)
    const name = again && before !== undefined ? before : `k${this.#count}`
    const names = [...new Set(prev.map((at) => this.#tips[at % this.#tips.length] ?? 'bob'))]
    if (name !== before) this.#tips.push(name)
    this.#lastKnock.set(who, name)
    return accept(this.#store, knock(name, USERS[who] ?? ALICE, names, { room: this.#room }), this.#room)
  }

  async #stage({ members, discard, tip }: Operation & { kind: 'stage' }): Promise<void> {
    await this.#staging?.abort()
    const header = { roomId: this.#room, version: '10', ownServer: HERE, discardKnocks: discard }
    this.#staging = await this.#store.beginImport(header)
    const more = members.map(({ user: who, membership, answers }): RoomEvent => {
      const auth = answers ? [this.#lastKnock.get(who) ?? 'create'] : ['create']
      return member(`m${this.#count}u${who}`, USERS[who] ?? ALICE, membership, { auth, room: this.#room })
    })
    const state = [...sampleState(), ...more]
    await this.#staging.addState(state.map((item) => ({ ...item, verified: item.pdu.type === 'm.room.create' })))
    const name = `tip${this.#count}`
    const extremities = tip ? [member(name, ALICE, 'join', { depth: this.#count })] : sampleState().slice(-1)
    if (tip) this.#tips.push(name)
    await this.#staging.addExtremities(extremities)
  }
}

function plain(branch: Awaited<ReturnType<typeof branchOf>>): unknown {
  return branch && [branch.depth, branch.joinRules?.eventId, branch.member?.eventId]
}

/**
 * Takes both stores through the same histories.
 * @param advance moves the clock of both, by milliseconds
 */
export async function expectSameHistories(
  stores: readonly [model: TestStore, store: TestStore],
  advance: (ms: number) => void,
  runs: number,
): Promise<void> {
  let run = 0
  const operations = fc.array(operation, { maxLength: MAX_OPERATIONS })
  await fc.assert(
    fc.asyncProperty(operations, async (steps) => {
      const room = `!run${run++}:here.test` as RoomId
      const walks = [new Walk(stores[0], room), new Walk(stores[1], room)] as const
      const start: Operation[] = [{ kind: 'stage', members: [], discard: false, tip: false }, { kind: 'swap' }]
      for (const step of [...start, ...steps]) {
        if (step.kind === 'wait') advance(step.days * DAY)
        const [left, right] = [await walks[0].step(step), await walks[1].step(step)]
        expect(right, JSON.stringify(step)).toEqual(left)
        expect(await walks[1].show(), JSON.stringify(step)).toEqual(await walks[0].show())
      }
      expect(await stores[1].flaws()).toEqual([])
    }),
    { numRuns: runs },
  )
}
