/**
 * Looks a server's keys up: in the store, at the server itself, at the notaries, within bounds on how many look-ups there
 * are at a time. Servers that have proved themselves have slots of their own, out of reach of a flood of invented names.
 * https://spec.matrix.org/latest/server-server-api/#retrieving-server-keys
 */
import type { Clock, KeyStore, StoredServerKeys } from '../knock/ports.ts'
import type { ServerName } from '../matrix/identifiers.ts'
import type { ServerKeys } from '../matrix/server-keys.ts'
import { createSlots, type Slots } from '../waiting/slots.ts'
import { within } from '../waiting/within.ts'
import { admissible, isDue, type KeyPurpose, merge, recordOf } from './key-records.ts'
import { type KeyAnswer, type KeyQuestion, type KeySource, suffices } from './key-source.ts'

/** A server with keys at hand. */
export interface Acquaintance {
  readonly record: StoredServerKeys
  /** A key of it has verified something, since the start or before: the store has none but such servers. */
  readonly proved: boolean
  /** It did not answer when it was asked last. */
  readonly failing: boolean
}

export type LookupOutcome =
  | { readonly kind: 'had'; readonly from: 'server' | 'notary'; readonly known: Acquaintance }
  /** `known` is what is at hand, where that does not suffice. */
  | { readonly kind: 'failed'; readonly reason: string; readonly known: Acquaintance | undefined }
  /** Too many look-ups at once: it was never tried. */
  | { readonly kind: 'crowded'; readonly known: Acquaintance | undefined }

export interface KeyLookupOptions {
  readonly store: Pick<KeyStore, 'readServerKeys'>
  readonly direct: KeySource
  /** Asked one after the other, until the wanted keys are had, where the server itself does not answer. */
  readonly notaries: readonly KeySource[]
  readonly denied: (key: Uint8Array) => boolean
  readonly clock: Clock
  /** Look-ups of servers that have proved nothing, or did not answer last time, at a time. Default 64. */
  readonly maxLookups?: number
  /** Look-ups of other servers, at a time: of those that are due, and as many of new key ids. Default 32. */
  readonly maxRefreshes?: number
  /** Look-ups of each kind that wait for a slot. Default 1024. */
  readonly maxWaiting?: number
  /** Longest time for one look-up, in milliseconds. Default 10,000. */
  readonly timeoutMs?: number
}

/** Sources end at the deadline by themselves, with what they have by then: this is for one that does not. */
const OVERRUN_MS = 100
/** The share of a look-up's time that the server itself has while there are notaries to ask after it. */
const DIRECT_SHARE = 0.6

export interface KeyLookup {
  /** What the store has of a server, where it has anything in time. */
  recall(server: ServerName): Promise<Acquaintance | undefined>
  /** Asks the server itself and the notaries. @param known what is at hand already */
  fetch(server: ServerName, purpose: KeyPurpose, known: Acquaintance | undefined): Promise<LookupOutcome>
}

export function createKeyLookup(options: KeyLookupOptions): KeyLookup {
  const { store, direct, notaries, denied, clock, timeoutMs = 10_000 } = options
  const { maxLookups = 64, maxRefreshes = 32, maxWaiting = 1024 } = options
  const forStrangers = createSlots(maxLookups, maxWaiting)
  const forNewKeys = createSlots(maxRefreshes, maxWaiting)
  const forRenewals = createSlots(maxRefreshes, maxWaiting)

  /** By what is known of the server, never by who asks for what: all that ask at once share one look-up. */
  function slotsFor(known: Acquaintance | undefined): Slots {
    if (known === undefined || !known.proved || known.failing) return forStrangers
    return isDue(known.record, clock()) ? forRenewals : forNewKeys
  }

  async function recall(server: ServerName): Promise<Acquaintance | undefined> {
    const stored = await within(
      timeoutMs,
      store.readServerKeys(server).catch(() => undefined),
    )
    const record = stored && admissible(stored, denied)
    return record !== undefined && record.keys.length > 0 ? { record, proved: true, failing: false } : undefined
  }

  async function askNotaries(question: KeyQuestion): Promise<KeyAnswer> {
    const published: ServerKeys[] = []
    let reason = 'no notary'
    for (const [at, notary] of notaries.entries()) {
      const share = (question.deadline - clock()) / (notaries.length - at)
      const answer = await ask(notary, { ...question, deadline: clock() + share })
      if (answer.kind === 'failed') reason = answer.reason
      else published.push(...answer.published)
      if (published.length > 0 && suffices(published, question)) break
    }
    return published.length > 0 ? { kind: 'keys', published } : { kind: 'failed', reason }
  }

  async function ask(source: KeySource, question: KeyQuestion): Promise<KeyAnswer> {
    const answer = await within(question.deadline - clock() + OVERRUN_MS, source.ask(question))
    return answer ?? { kind: 'failed', reason: 'no answer in time' }
  }

  async function askAll(server: ServerName, purpose: KeyPurpose, known: Acquaintance | undefined) {
    const start = clock()
    const question = { server, keyIds: purpose.keyIds, minimumValidUntil: purpose.at, deadline: start + timeoutMs }
    const directDeadline = start + timeoutMs * (notaries.length > 0 ? DIRECT_SHARE : 1)
    const own = await ask(direct, { ...question, deadline: directDeadline })
    if (own.kind === 'keys') return had('server', own, known, undefined)
    const told = await askNotaries(question)
    if (told.kind === 'keys') return had('notary', told, known, known?.record)
    const reason = notaries.length === 0 ? own.reason : `${own.reason}; ${told.reason}`
    return { kind: 'failed', reason, known: known && { ...known, failing: true } } as const
  }

  /** What a notary tells may be older than what we have: it is merged. What the server tells replaces all. */
  function had(
    from: 'server' | 'notary',
    { published }: Extract<KeyAnswer, { kind: 'keys' }>,
    known: Acquaintance | undefined,
    kept: StoredServerKeys | undefined,
  ): LookupOutcome {
    const now = clock()
    const record = published
      .map((keys) => recordOf(keys, now))
      .reduce<StoredServerKeys | undefined>((before, next) => merge(before, next), kept)
    if (record === undefined) return { kind: 'failed', reason: 'an empty answer', known }
    return { kind: 'had', from, known: { record, proved: known?.proved === true, failing: false } }
  }

  return {
    recall,
    async fetch(server, purpose, known) {
      const outcome = await slotsFor(known).run(() => askAll(server, purpose, known), timeoutMs)
      return outcome ?? { kind: 'crowded', known }
    },
  }
}
