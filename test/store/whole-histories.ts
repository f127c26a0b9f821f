/**
 * Random histories of a whole store, against the simplest model of what is promised: who is what in the room, what was
 * accepted, and what has arrived where. Imports, knocks, bans, repeats, deliveries that are lost, and crashes.
 */
import fc from 'fast-check'
import { expect } from 'vitest'
import type { RoomImport } from '../../src/knock/ports/store.ts'
import type { RoomId, ServerName, UserId } from '../../src/matrix/identifiers.ts'
import { expandAll, namesIn } from './claiming.ts'
import type { DeliverySubject } from './delivery-histories.ts'
import { accept, commitOf, HERE, id, importRoom, knock, member, nameOf, sampleState } from './sample-room.ts'

const USERS = ['@a:remote.test', '@b:remote.test', '@c:remote.test'] as UserId[]
const ALL_RECORDS = 1_000_000

type Operation =
  | { readonly kind: 'knock' | 'late' | 'repeat' | 'look'; readonly user: number }
  | { readonly kind: 'stage'; readonly answers: readonly Answer[]; readonly discard: boolean }
  | { readonly kind: 'deliver' | 'lose' | 'refuse'; readonly server: number }
  | { readonly kind: 'swap' | 'claim' | 'crash' }

/** A moderator answers a user's knock, or bans a user who has none. */
interface Answer {
  readonly user: number
  readonly membership: 'ban' | 'leave'
}

const user = fc.nat(USERS.length - 1)
const server = fc.nat(1)
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('knock' as const), user }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('late' as const, 'repeat', 'look'), user }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('stage' as const),
      answers: fc.uniqueArray(fc.record({ user, membership: fc.constantFrom('ban' as const, 'leave') }), {
        selector: (answer) => answer.user,
      }),
      // Mostly not: it takes away what the other operations are about.
      discard: fc.nat(5).map((chance) => chance === 0),
    }),
  },
  { weight: 3, arbitrary: fc.constant({ kind: 'swap' as const }) },
  { weight: 3, arbitrary: fc.constant({ kind: 'claim' as const }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('deliver' as const, 'lose', 'refuse'), server }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'crash' as const }) },
)

/** A user's member event: its name, and what it says. */
interface Member {
  readonly name: string
  readonly membership: 'knock' | 'ban' | 'leave'
}

interface Look {
  readonly imports: number
  readonly factsRevision: number
  readonly membership: string | undefined
}

interface Staged {
  readonly staging: RoomImport
  readonly discard: boolean
  /** The file's member events of users, and the knock that each descends from. */
  readonly members: ReadonlyMap<number, { readonly inFile: Member; readonly answers: string | undefined }>
}

/** One run on a room and servers of its own. */
class Walk {
  readonly #subject: DeliverySubject
  readonly #run: number
  readonly #room: RoomId
  readonly #servers: readonly ServerName[]
  readonly #members = new Map<number, Member>()
  readonly #looks = new Map<number, Look>()
  readonly #accepted: string[] = []
  /** What arrived at each server, and in which transaction. */
  readonly #arrived = new Map<ServerName, { readonly name: string; readonly txnId: string }[]>()
  readonly #claims = new Map<ServerName, { readonly txnId: string; readonly names: readonly string[] }>()
  #staged: Staged | undefined
  #imports = 1
  #count = 0

  constructor(subject: DeliverySubject, run: number) {
    this.#subject = subject
    this.#run = run
    this.#room = `!whole${run}:here.test` as RoomId
    this.#servers = [`s0.whole${run}.test`, `s1.whole${run}.test`] as ServerName[]
  }

  async start(): Promise<void> {
    const state = this.#state()
    await importRoom(this.#subject.store, { state, extremities: state.slice(-1), header: { roomId: this.#room } })
  }

  async step(operation: Operation): Promise<void> {
    this.#count++
    if ('server' in operation) await this.#end(this.#servers[operation.server] as ServerName, operation.kind)
    else if (operation.kind === 'knock') await this.#knock(operation.user)
    else if (operation.kind === 'late') await this.#knockLate(operation.user)
    else if (operation.kind === 'repeat') await this.#repeat(operation.user)
    else if (operation.kind === 'look') await this.#look(operation.user)
    else if (operation.kind === 'stage') await this.#stage(operation)
    else if (operation.kind === 'swap') await this.#swap()
    else if (operation.kind === 'claim') await this.#claim()
    else await this.#crash()
  }

  /** What holds after every step. */
  async check(): Promise<void> {
    const { store } = this.#subject
    for (const [at, userId] of USERS.entries()) {
      const { eventId, pdu } = (await store.readRoom(this.#room, userId))?.member ?? {}
      const found = eventId && { name: nameOf(eventId), membership: pdu?.content.membership }
      expect(found, userId).toEqual(this.#members.get(at))
    }
    const decisions = await store.listDecisions({ roomId: this.#room, limit: ALL_RECORDS })
    expect(decisions.map(({ eventId }) => eventId).reverse()).toEqual(this.#accepted.map(id))
    expect((await store.roomSummary(this.#room))?.revision).toBe(this.#imports + this.#accepted.length)
  }

  /**
   * Everything that was accepted arrives in order, and each event in one transaction, however often that one came: under
   * another id only where the one before was refused.
   */
  async finish(): Promise<void> {
    for (const name of this.#servers) await this.#end(name, 'deliver')
    const complete = () => this.#servers.every((name) => this.#namesAt(name).length === this.#accepted.length)
    for (let rounds = 0; !complete() && rounds < 20; rounds++) {
      await this.#claim()
      for (const name of this.#servers) await this.#end(name, 'deliver')
    }
    for (const name of this.#servers) {
      expect(this.#namesAt(name)).toEqual(this.#accepted)
      const pairs = new Set(this.#arrived.get(name)?.map((arrival) => `${arrival.name} ${arrival.txnId}`))
      expect(pairs.size).toBe(this.#accepted.length)
    }
  }

  #namesAt(name: ServerName): readonly string[] {
    return [...new Set(this.#arrived.get(name)?.map((arrival) => arrival.name))]
  }

  #state() {
    const joined = this.#servers.map((name, at) => member(`m${at}`, `@m:${name}`, 'join'))
    return [...sampleState().slice(0, 4), ...joined]
  }

  #event(at: number) {
    return knock(`w${this.#run}x${this.#count}`, USERS[at] as UserId, ['m1'], { room: this.#room })
  }

  /** The room's rules let nobody knock who is banned: that is asked before the store is. */
  async #knock(at: number): Promise<void> {
    if (this.#members.get(at)?.membership === 'ban') return
    const event = this.#event(at)
    expect((await accept(this.#subject.store, event, this.#room)).kind).toBe('committed')
    this.#record(at, nameOf(event.eventId))
  }

  async #look(at: number): Promise<void> {
    const found = await this.#subject.store.readRoom(this.#room, USERS[at] as UserId)
    const membership = found?.member?.pdu.content.membership as string | undefined
    this.#looks.set(at, { imports: this.#imports, factsRevision: found?.head.factsRevision ?? 0, membership })
  }

  /** A knock that was judged by an earlier look, while imports, bans and other knocks went on. */
  async #knockLate(at: number): Promise<void> {
    const look = this.#looks.get(at)
    if (look === undefined || look.membership === 'ban') return
    const event = this.#event(at)
    const commit = commitOf(event, look.factsRevision, look.membership, this.#room)
    const stands = look.imports === this.#imports && look.membership === this.#members.get(at)?.membership
    expect((await this.#subject.store.commitKnock(commit)).kind).toBe(stands ? 'committed' : 'conflict')
    if (stands) this.#record(at, nameOf(event.eventId))
  }

  /** The knock that counts, once more. */
  async #repeat(at: number): Promise<void> {
    const current = this.#members.get(at)
    if (current?.membership !== 'knock') return
    const event = knock(current.name, USERS[at] as UserId, ['m1'], { room: this.#room })
    expect((await accept(this.#subject.store, event, this.#room)).kind).toBe('duplicate')
  }

  async #stage({ answers, discard }: Extract<Operation, { kind: 'stage' }>): Promise<void> {
    await this.#staged?.staging.abort()
    const header = { roomId: this.#room, version: '10', ownServer: HERE, discardKnocks: discard }
    const staging = await this.#subject.store.beginImport(header)
    const members = new Map(
      answers.map(({ user: at, membership }) => {
        const current = this.#members.get(at)
        const answered = current?.membership === 'knock' ? current.name : undefined
        return [at, { inFile: { name: `m${this.#count}u${at}`, membership }, answers: answered }] as const
      }),
    )
    const events = [...members].map(
      ([
        at,
        {
          inFile: { name, membership },
          answers: answered,
        },
      ]) => member(name, USERS[at] as UserId, membership, { auth: [answered ?? 'create'], room: this.#room }),
    )
    await staging.addState([...this.#state(), ...events].map((event) => ({ ...event, verified: true })))
    await staging.addExtremities(this.#state().slice(-1))
    this.#staged = { staging, discard, members }
  }

  async #swap(): Promise<void> {
    if (this.#staged === undefined) return
    const { staging, discard, members } = this.#staged
    this.#staged = undefined
    expect((await staging.swap()).kind).toBe('imported')
    this.#imports++
    for (const at of USERS.keys()) {
      const current = this.#members.get(at)
      const { inFile, answers } = members.get(at) ?? {}
      const answered = inFile?.membership === 'ban' || (answers !== undefined && answers === current?.name)
      if (current?.membership === 'knock' && !discard && !answered) continue
      if (inFile === undefined) this.#members.delete(at)
      else this.#members.set(at, inFile)
    }
  }

  async #claim(): Promise<void> {
    const { store } = this.#subject
    await expandAll(store)
    this.#subject.now += 10
    for (const transaction of await store.claim(this.#subject.now, 10)) {
      expect(this.#claims.has(transaction.destination)).toBe(false)
      this.#claims.set(transaction.destination, { txnId: transaction.txnId, names: namesIn(transaction) ?? [] })
    }
  }

  /** What was claimed arrives; `lose`: but its answer does not; `refuse`: it does not. */
  async #end(name: ServerName, how: 'deliver' | 'lose' | 'refuse'): Promise<void> {
    const { store, now } = this.#subject
    const claim = this.#claims.get(name)
    if (claim === undefined) return
    this.#claims.delete(name)
    if (how === 'refuse') return this.#refuse(name, claim)
    const arrivals = claim.names.map((event) => ({ name: event, txnId: claim.txnId }))
    this.#arrived.set(name, [...(this.#arrived.get(name) ?? []), ...arrivals])
    if (how === 'deliver') await store.delivered(name, claim.txnId)
    else await store.failed(name, claim.txnId, { retryAt: now + 1, reason: 'no answer' })
  }

  /** One that was lost before may have arrived: what is in it comes again under another id. */
  async #refuse(name: ServerName, { txnId }: { readonly txnId: string }): Promise<void> {
    await this.#subject.store.halve(name, txnId, 'refused')
    this.#arrived.set(name, this.#arrived.get(name)?.filter((arrival) => arrival.txnId !== txnId) ?? [])
  }

  async #crash(): Promise<void> {
    if (!(await this.#subject.crash())) return
    this.#claims.clear()
    this.#staged = undefined
  }

  #record(at: number, name: string): void {
    this.#members.set(at, { name, membership: 'knock' })
    this.#accepted.push(name)
  }
}

/** Takes a store through histories, each to the end where all has arrived. */
export async function walkWhole(subject: DeliverySubject, runs: number): Promise<void> {
  let run = 0
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 10, maxLength: 40 }), async (operations) => {
      const current = new Walk(subject, run++)
      await current.start()
      try {
        for (const step of operations) {
          await current.step(step)
          await current.check()
        }
      } finally {
        await current.finish()
      }
    }),
    { numRuns: runs },
  )
}
