/** Random histories of an outbox, which is compared with its model after every step. */
import fc from 'fast-check'
import { expect } from 'vitest'
import type { Pace } from '../../src/knock/ports/deliveries.ts'
import type { RoomId, ServerName, UserId } from '../../src/matrix/identifiers.ts'
import { expandAll } from './claiming.ts'
import type { TestStore } from './contract.ts'
import { DeliveryModel } from './delivery-model.ts'
import { accept, id, importRoom, knock, member, nameOf, sampleState } from './sample-room.ts'

/** Who is in which room. */
const ROOMS = [[0], [0, 1], [1, 2], [0, 1, 2]] as const
const SERVERS = 3

type Operation =
  | { readonly kind: 'enqueue'; readonly room: number; readonly count: number }
  | { readonly kind: 'expand' }
  | { readonly kind: 'crash' }
  | { readonly kind: 'claim'; readonly limit: number; readonly lagging: number }
  | { readonly kind: 'deliver'; readonly server: number; readonly pace: Pace }
  | { readonly kind: 'halve'; readonly server: number; readonly pace: Pace }
  | { readonly kind: 'release'; readonly server: number; readonly waitMs: number }
  | { readonly kind: 'dropEvent'; readonly server: number; readonly at: number }
  | { readonly kind: 'resume'; readonly server: number }
  | { readonly kind: 'retry'; readonly server: number }
  | {
      readonly kind: 'fail'
      readonly server: number
      readonly arrives: boolean
      readonly waitMs: number
      readonly askedMs: number
      readonly refused: boolean
    }
  | { readonly kind: 'drop'; readonly server: number; readonly ageMs: number }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'bound'; readonly ms: number }

const server = fc.nat(SERVERS - 1)
const pace = fc.constantFrom<Pace>('quick', 'quick', 'slow')
const ms = fc.integer({ min: 1, max: 5_000 })
const constant = <Kind extends Operation['kind']>(kind: Kind) => fc.constant(kind)
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      ...{ kind: constant('enqueue'), room: fc.nat(ROOMS.length - 1) },
      count: fc.oneof(
        { weight: 6, arbitrary: fc.constant(1) },
        { weight: 1, arbitrary: fc.integer({ min: 45, max: 60 }) },
      ),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: constant('expand') }) },
  {
    weight: 5,
    arbitrary: fc.record({ kind: constant('claim'), limit: fc.integer({ min: 1, max: 4 }), lagging: fc.nat(2) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: constant('deliver'), server, pace }) },
  { weight: 4, arbitrary: fc.record({ kind: constant('halve'), server, pace }) },
  {
    weight: 4,
    arbitrary: fc.record({
      ...{ kind: constant('fail'), server, arrives: fc.boolean(), waitMs: ms, askedMs: fc.nat(6_000) },
      refused: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: constant('release'), server, waitMs: fc.nat(3_000) }) },
  { weight: 2, arbitrary: fc.record({ kind: constant('dropEvent'), server, at: fc.nat(60) }) },
  { weight: 1, arbitrary: fc.record({ kind: constant('retry'), server }) },
  { weight: 2, arbitrary: fc.record({ kind: constant('resume'), server }) },
  { weight: 2, arbitrary: fc.record({ kind: constant('drop'), server, ageMs: fc.nat(2_000) }) },
  { weight: 3, arbitrary: fc.record({ kind: constant('wait'), ms }) },
  { weight: 1, arbitrary: fc.record({ kind: constant('bound'), ms }) },
  { weight: 1, arbitrary: fc.record({ kind: constant('crash') }) },
)

/** The store under test and its clock. */
export interface DeliverySubject {
  store: TestStore
  now: number
  /** Ends the store without a word and opens it again; false where nothing outlives it. */
  crash(): Promise<boolean>
}

/** One run on rooms and servers of its own. */
class Walk {
  readonly #model = new DeliveryModel()
  readonly #subject: DeliverySubject
  readonly #run: number
  #events = 0

  constructor(subject: DeliverySubject, run: number) {
    this.#subject = subject
    this.#run = run
  }

  async start(): Promise<void> {
    for (const [at, servers] of ROOMS.entries()) {
      const state = [
        ...sampleState().slice(0, 4),
        ...servers.map((who) => member(`m${who}`, `@m:${this.#name(who)}`, 'join')),
      ]
      await importRoom(this.#subject.store, { state, header: { roomId: this.#room(at) } })
    }
  }

  async step(operation: Operation): Promise<void> {
    const { store, now } = this.#subject
    if (operation.kind === 'enqueue') return this.#enqueue(operation)
    if (operation.kind === 'expand') {
      await expandAll(store)
      this.#model.expand(now)
    } else if (operation.kind === 'claim') {
      const { limit, lagging } = operation
      this.#model.claimed(await store.claim(now, limit, lagging), now, limit, lagging)
    } else if (operation.kind === 'wait') this.#subject.now += operation.ms
    else if (operation.kind === 'bound') {
      await store.boundWaits(now + operation.ms)
      this.#model.boundWaits(now + operation.ms)
    } else if (operation.kind === 'crash') {
      if (await this.#subject.crash()) this.#model.crashed()
    } else await this.#stepOf(this.#name(operation.server), operation)
  }

  /** What holds after every step. */
  async check(): Promise<void> {
    const { store, now } = this.#subject
    expect(await store.nextDue()).toBe(this.#model.nextDue())
    expect((await store.depth(now)).waiting).toBe(this.#model.waiting())
    for (let who = 0; who < SERVERS; who++) {
      const listed = await store.listWaiting(this.#name(who), 0, 1_000)
      expect(listed.map(({ eventId }) => nameOf(eventId))).toEqual(this.#model.waitingFor(this.#name(who)))
    }
  }

  /** All servers are well from now on. */
  async finish(): Promise<void> {
    const deliverAll = async () => {
      for (const name of [...this.#model.claims.keys()]) await this.#deliver(name as ServerName, 'quick')
    }
    await deliverAll()
    await this.step({ kind: 'expand' })
    for (let rounds = 0; this.#model.waiting() > 0; rounds++) {
      expect(rounds).toBeLessThan(100)
      this.#subject.now += 10_000
      await this.step({ kind: 'claim', limit: 10, lagging: 10 })
      await deliverAll()
    }
    await this.check()
    for (const [name, events] of this.#model.accepted) expect(this.#model.firstArrivals(name)).toEqual(events)
  }

  async #stepOf(name: ServerName, operation: Extract<Operation, { server: number }>): Promise<void> {
    const { store, now } = this.#subject
    const claim = this.#model.claims.get(name)
    if (operation.kind === 'resume') {
      await store.resume([name])
      this.#model.resumed(name, now)
    } else if (operation.kind === 'retry') {
      await store.retry(name)
      this.#model.retried(name, now)
    } else if (operation.kind === 'drop') {
      expect(await store.drop(name, now - operation.ageMs)).toBe(this.#model.dropped(name, now - operation.ageMs))
    } else if (operation.kind === 'dropEvent') {
      const event = this.#model.eventAt(name, operation.at)
      if (event === undefined) return
      expect(await store.dropEvent(name, id(event))).toBe(this.#model.droppedEvent(name, event))
    } else if (claim === undefined) return
    else if (operation.kind === 'deliver') await this.#deliver(name, operation.pace)
    else if (operation.kind === 'halve') {
      await store.halve(name, claim.txnId, 'no', operation.pace)
      this.#model.halved(name, now, operation.pace)
    } else if (operation.kind === 'release') {
      const dueAt = operation.waitMs < 1_000 ? undefined : now + operation.waitMs
      await store.release(name, claim.txnId, dueAt)
      this.#model.released(name, dueAt)
    } else await this.#fail(name, claim.txnId, operation)
  }

  async #deliver(name: ServerName, pace: Pace): Promise<void> {
    await this.#subject.store.delivered(name, this.#model.claims.get(name)?.txnId ?? '', pace)
    this.#model.delivered(name, this.#subject.now, pace)
  }

  async #fail(name: ServerName, txnId: string, operation: Extract<Operation, { kind: 'fail' }>): Promise<void> {
    const { store, now } = this.#subject
    const asked = operation.askedMs <= operation.waitMs && { notBefore: now + operation.askedMs }
    const failure = {
      retryAt: now + operation.waitMs,
      reason: 'no',
      ...asked,
      ...(operation.refused && { refused: true as const }),
    }
    // The answer was lost, not the request.
    if (operation.arrives) this.#model.arrive(name)
    await store.failed(name, txnId, failure)
    this.#model.failed(name, failure)
  }

  async #enqueue({ room, count }: Extract<Operation, { kind: 'enqueue' }>): Promise<void> {
    for (let times = 0; times < count; times++) {
      const name = `e${this.#run}x${this.#events++}`
      const event = knock(name, `@${name}:remote.test` as UserId, ['bob'], { room: this.#room(room) })
      expect((await accept(this.#subject.store, event, this.#room(room))).kind).toBe('committed')
      const servers = (ROOMS[room] ?? []).map((who) => this.#name(who))
      this.#model.enqueue(name, servers, this.#subject.now)
    }
  }

  #room(at: number): RoomId {
    return `!r${at}run${this.#run}:here.test` as RoomId
  }

  #name(who: number): ServerName {
    return `s${who}.run${this.#run}.test` as ServerName
  }
}

/** Takes the outbox through histories until every event has arrived or was dropped. */
export async function walkOutbox(subject: DeliverySubject, runs: number): Promise<void> {
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
