/** What an outbox should hold, in the simplest words: a line of events per server, and who is being sent to. */
import { expect } from 'vitest'
import type { DeliveryFailure, OutgoingTransaction, Pace } from '../../src/knock/ports/deliveries.ts'
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
  slow: boolean
  /** So many events at its head were refused together. */
  suspects: number
  refusals: number
  notBefore: number
  transaction: Transaction | undefined
}

function lags({ attempts, slow }: { readonly attempts: number; readonly slow: boolean }): boolean {
  return attempts > 0 || slow
}

/** Everything that the operations do to it, and checks of what a store answers to them. */
export class DeliveryModel {
  readonly #servers = new Map<string, Server>()
  readonly #outbox: { readonly row: Row; readonly servers: readonly string[] }[] = []
  /** Who answered slowly last, whether something waits for it or not. */
  readonly #slow = new Set<string>()
  /** What went out under each id: the same every time. */
  readonly #contents = new Map<string, string>()
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
        const unfailed = { attempts: 0, suspects: 0, refusals: 0, slow: this.#slow.has(server) }
        const fresh = { rows: [], dueAt: now, notBefore: 0, transaction: undefined, ...unfailed }
        const known = this.#servers.get(server) ?? fresh
        known.rows.push(row)
        this.#servers.set(server, known)
      }
    }
  }

  /** Holds what a store gave out against what it should have, and takes it over. */
  claimed(given: readonly OutgoingTransaction[], now: number, limit: number, lagging: number): void {
    const due = [...this.#servers].filter(([name, { dueAt }]) => dueAt <= now && !this.claims.has(name))
    const prompt = due.filter(([, server]) => !lags(server)).length
    const fresh = Math.min(prompt, limit)
    expect(given.map(lags)).toEqual([
      ...Array<boolean>(fresh).fill(false),
      ...Array<boolean>(Math.min(due.length - prompt, lagging, limit - fresh)).fill(true),
    ])
    for (const transaction of given) this.#take(transaction, now)
    for (const group of [given.slice(0, fresh), given.slice(fresh)]) this.#soonest(group, due)
  }

  delivered(name: string, now: number, pace: Pace): void {
    this.arrive(name)
    const found = this.#endClaim(name)
    if (found === undefined) return
    const events = found.transaction?.names.length ?? 0
    found.rows.splice(0, events)
    this.#forgetEmpty(name)
    this.#endTransaction(found)
    const suspects = Math.max(0, found.suspects - events)
    Object.assign(found, { attempts: 0, suspects, notBefore: 0, dueAt: now, slow: this.#notePace(name, pace) })
  }

  failed(name: string, { retryAt, notBefore = 0, refused }: DeliveryFailure): void {
    const found = this.#endClaim(name)
    if (found === undefined) return
    Object.assign(found, { attempts: found.attempts + 1, dueAt: retryAt, notBefore })
    if (refused) Object.assign(found, { refusals: found.refusals + 1, suspects: 1 })
  }

  halved(name: string, now: number, pace: Pace): void {
    const found = this.#endClaim(name)
    if (found === undefined) return
    const suspects = found.transaction?.names.length ?? 0
    this.#endTransaction(found)
    Object.assign(found, { suspects, dueAt: now, slow: this.#notePace(name, pace) })
  }

  released(name: string, dueAt?: number): void {
    const found = this.#endClaim(name)
    if (found !== undefined && dueAt !== undefined) found.dueAt = dueAt
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
    return this.#remove(name, ({ queuedAt }) => queuedAt < before)
  }

  /** @returns whether a store should say that it dropped one */
  droppedEvent(name: string, event: string): boolean {
    return this.#remove(name, (row) => row.name === event) > 0
  }

  /** The one at this place of a server's line, as far as there is one. */
  eventAt(name: string, at: number): string | undefined {
    const rows = this.#servers.get(name)?.rows ?? []
    return rows[at % Math.max(1, rows.length)]?.name
  }

  waitingFor(name: string): readonly string[] {
    return (this.#servers.get(name)?.rows ?? []).map((row) => row.name)
  }

  #remove(name: string, goes: (row: Row) => boolean): number {
    const found = this.#servers.get(name)
    if (found === undefined) return 0
    const gone = new Set(found.rows.filter(goes).map((row) => row.name))
    found.rows = found.rows.filter((row) => !gone.has(row.name))
    if (found.transaction?.names.some((event) => gone.has(event))) this.#endTransaction(found)
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
    const most = found.suspects === 0 ? MAX_PDUS : Math.max(1, Math.floor(found.suspects / 2))
    const names = found.rows.slice(0, most).map(({ name }) => name)
    const { txnId, startedAt } = given
    found.transaction ??= { txnId, startedAt: now, names }
    expect({ txnId, startedAt, names: namesIn(given) }).toEqual(found.transaction)
    const content = JSON.stringify([startedAt, namesIn(given)])
    expect(this.#contents.get(txnId) ?? content).toBe(content)
    this.#contents.set(txnId, content)
    const { attempts, slow, refusals, oldestAt } = given
    expect({ attempts, slow, refusals, oldestAt }).toEqual({
      ...{ attempts: found.attempts, slow: found.slow, refusals: found.refusals },
      oldestAt: found.rows[0]?.queuedAt,
    })
    this.claims.set(given.destination, found.transaction)
  }

  /** Nobody who was due sooner than one that was taken was left out. */
  #soonest(taken: readonly OutgoingTransaction[], due: readonly (readonly [string, Server])[]): void {
    const [first] = taken
    const lagging = first !== undefined && lags(first)
    const latest = Math.max(...taken.map(({ destination }) => this.#servers.get(destination)?.dueAt ?? 0))
    for (const [name, server] of due) {
      if (lags(server) === lagging && !this.claims.has(name)) expect(server.dueAt).toBeGreaterThanOrEqual(latest)
    }
  }

  #endClaim(name: string): Server | undefined {
    const txnId = this.claims.get(name)?.txnId
    this.claims.delete(name)
    const found = this.#servers.get(name)
    return found?.transaction !== undefined && found.transaction.txnId === txnId ? found : undefined
  }

  #endTransaction(server: Server): void {
    Object.assign(server, { transaction: undefined, refusals: 0 })
  }

  #notePace(name: string, pace: Pace): boolean {
    if (pace === 'slow') this.#slow.add(name)
    else this.#slow.delete(name)
    return pace === 'slow'
  }

  #forgetEmpty(name: string): void {
    if (this.#servers.get(name)?.rows.length === 0) this.#servers.delete(name)
  }
}
