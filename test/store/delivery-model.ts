/** What an outbox should hold, in the simplest words: a line of events per server, and who is being sent to. */
import { expect } from 'vitest'
import type { DeliveryFailure, OutgoingTransaction } from '../../src/knock/delivery-ports.ts'
import { namesIn } from './claiming.ts'

const MAX_PDUS = 50

interface Row {
  readonly name: string
  readonly queuedAt: number
}

interface Transaction {
  readonly txnId: string
  readonly startedAt: number
  readonly names: readonly string[]
}

interface Server {
  rows: Row[]
  dueAt: number
  attempts: number
  notBefore: number
  transaction: Transaction | undefined
}

/** Everything that the operations do to it, and checks of what a store answers to them. */
export class DeliveryModel {
  readonly #servers = new Map<string, Server>()
  readonly #outbox: { readonly row: Row; readonly servers: readonly string[] }[] = []
  /** What each claim was given. */
  readonly claims = new Map<string, Transaction>()
  /** What arrived at each server, repetitions included. */
  readonly arrived = new Map<string, string[]>()
  /** What should arrive, once each. */
  readonly accepted = new Map<string, string[]>()

  enqueue(name: string, servers: readonly string[], now: number): void {
    this.#outbox.push({ row: { name, queuedAt: now }, servers })
    for (const server of servers) this.accepted.set(server, [...(this.accepted.get(server) ?? []), name])
  }

  expand(now: number): void {
    for (const { row, servers } of this.#outbox.splice(0)) {
      for (const server of servers) {
        const fresh = { rows: [], dueAt: now, attempts: 0, notBefore: 0, transaction: undefined }
        const known = this.#servers.get(server) ?? fresh
        known.rows.push(row)
        this.#servers.set(server, known)
      }
    }
  }

  /** Holds what a store gave out against what it should have, and takes it over. */
  claimed(given: readonly OutgoingTransaction[], now: number, limit: number, failing: number): void {
    const due = [...this.#servers].filter(([name, { dueAt }]) => dueAt <= now && !this.claims.has(name))
    const unfailed = due.filter(([, { attempts }]) => attempts === 0).length
    const failed = due.length - unfailed
    const fresh = Math.min(unfailed, limit)
    expect(given.map(({ attempts }) => attempts > 0)).toEqual([
      ...Array<boolean>(fresh).fill(false),
      ...Array<boolean>(Math.min(failed, failing, limit - fresh)).fill(true),
    ])
    for (const transaction of given) this.#take(transaction, now)
    for (const group of [given.slice(0, fresh), given.slice(fresh)]) this.#soonest(group, due)
  }

  delivered(name: string, now: number): void {
    this.arrive(name)
    const found = this.#endClaim(name)
    if (found === undefined) return
    found.rows.splice(0, found.transaction?.names.length)
    this.#forgetEmpty(name)
    Object.assign(found, { transaction: undefined, attempts: 0, notBefore: 0, dueAt: now })
  }

  failed(name: string, { retryAt, notBefore = 0 }: DeliveryFailure): void {
    const found = this.#endClaim(name)
    if (found !== undefined) Object.assign(found, { attempts: found.attempts + 1, dueAt: retryAt, notBefore })
  }

  released(name: string): void {
    this.claims.delete(name)
  }

  /** The transaction in flight reached its server, whatever is heard of it. */
  arrive(name: string): void {
    this.arrived.set(name, [...(this.arrived.get(name) ?? []), ...(this.claims.get(name)?.names ?? [])])
  }

  resumed(name: string, now: number): void {
    const found = this.#servers.get(name)
    if (found === undefined || found.attempts === 0) return
    found.dueAt = Math.min(found.dueAt, Math.max(now, found.notBefore))
  }

  retried(name: string, now: number): void {
    const found = this.#servers.get(name)
    if (found !== undefined) found.dueAt = Math.min(found.dueAt, now)
  }

  boundWaits(latest: number): void {
    for (const found of this.#servers.values()) found.dueAt = Math.min(found.dueAt, latest)
  }

  /** @returns how many events a store should say it dropped */
  dropped(name: string, before: number): number {
    const found = this.#servers.get(name)
    if (found === undefined) return 0
    const gone = new Set(found.rows.filter(({ queuedAt }) => queuedAt < before).map((row) => row.name))
    found.rows = found.rows.filter((row) => !gone.has(row.name))
    if (found.transaction?.names.some((event) => gone.has(event))) found.transaction = undefined
    this.#forgetEmpty(name)
    this.accepted.set(
      name,
      (this.accepted.get(name) ?? []).filter((event) => !gone.has(event)),
    )
    return gone.size
  }

  crashed(): void {
    this.claims.clear()
  }

  nextDue(): number | undefined {
    const due = [...this.#servers].filter(([name]) => !this.claims.has(name)).map(([, { dueAt }]) => dueAt)
    return due.length === 0 ? undefined : Math.min(...due)
  }

  waiting(): number {
    return this.#outbox.length + [...this.#servers.values()].reduce((sum, { rows }) => sum + rows.length, 0)
  }

  /** The first arrival of each event that should arrive, in order. */
  firstArrivals(name: string): readonly string[] {
    const expected = new Set(this.accepted.get(name))
    return [...new Set(this.arrived.get(name))].filter((event) => expected.has(event))
  }

  #take(given: OutgoingTransaction, now: number): void {
    const found = this.#servers.get(given.destination)
    expect(this.claims.has(given.destination)).toBe(false)
    expect(found?.dueAt).toBeLessThanOrEqual(now)
    if (found === undefined) throw new Error(`nothing waits for ${given.destination}`)
    const names = found.rows.slice(0, MAX_PDUS).map(({ name }) => name)
    const { txnId, startedAt } = given
    found.transaction ??= { txnId, startedAt: now, names }
    expect({ txnId, startedAt, names: namesIn(given) }).toEqual(found.transaction)
    expect([given.attempts, given.oldestAt]).toEqual([found.attempts, found.rows[0]?.queuedAt])
    this.claims.set(given.destination, found.transaction)
  }

  /** Nobody who was due sooner than one that was taken was left out. */
  #soonest(taken: readonly OutgoingTransaction[], due: readonly (readonly [string, Server])[]): void {
    const failing = (taken[0]?.attempts ?? 0) > 0
    const latest = Math.max(...taken.map(({ destination }) => this.#servers.get(destination)?.dueAt ?? 0))
    for (const [name, { dueAt, attempts }] of due) {
      if (attempts > 0 === failing && !this.claims.has(name)) expect(dueAt).toBeGreaterThanOrEqual(latest)
    }
  }

  #endClaim(name: string): Server | undefined {
    const txnId = this.claims.get(name)?.txnId
    this.claims.delete(name)
    const found = this.#servers.get(name)
    return found?.transaction !== undefined && found.transaction.txnId === txnId ? found : undefined
  }

  #forgetEmpty(name: string): void {
    if (this.#servers.get(name)?.rows.length === 0) this.#servers.delete(name)
  }
}
