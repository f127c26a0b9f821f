/**
 * Looks a server's keys up: in the store, at the server itself, at the notaries, within bounds on how many look-ups there
 * are at a time, shared fairly among those who cause them. Servers that have proved themselves have slots of their own, out
 * of reach of a flood of invented names.
 * https://spec.matrix.org/latest/server-server-api/#retrieving-server-keys
 */
import { createFairSlots, type FairSlots } from '../../concurrency/fair-slots.ts'
import { within } from '../../concurrency/within.ts'
import type { Clock, KeyStore, StoredServerKeys } from '../../knock/ports/rooms.ts'
import type { ServerName } from '../../matrix/identifiers.ts'
import type { ServerKeys } from '../../matrix/server-keys.ts'
import type { Failure, Lack } from '../failure.ts'
import { admissible, isDue, type KeyPurpose, merge, recordOf } from './records.ts'
import { type KeyAnswer, type KeyQuestion, type KeySource, suffices } from './source.ts'

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
  /** It could not be made for want of something of ours: it says nothing about the server, and nothing is to be kept of it. */
  | { readonly kind: 'lacking'; readonly lack: Lack; readonly reason: string }

/** A look-up that all share who ask for the keys of one server at once. */
export interface SharedLookup {
  readonly outcome: Promise<LookupOutcome>
  /** Whether it has begun: before, it waits for a slot of ours. */
  readonly begun: boolean
  /** Somebody else wants it too: it begins when the turn of any of them has come. */
  join(cause: string): void
}

export interface KeyLookupOptions {
  readonly store: Pick<KeyStore, 'readServerKeys'>
  readonly direct: KeySource
  /** Asked one after the other, until the wanted keys are had, where the server itself does not answer. */
  readonly notaries: readonly KeySource[]
  readonly denied: (key: Uint8Array) => boolean
  readonly clock: Clock
  /**
   * Look-ups of servers that have proved nothing, or did not answer last time, at a time; a quarter of each kind is kept for
   * causes that have few. Default 1024: most of a flood hangs in DNS, which costs little more than the waiting.
   */
  readonly maxLookups?: number
  /** Look-ups of other servers, at a time: of those that are due, and as many of new key ids. Default 32. */
  readonly maxRefreshes?: number
  /** Look-ups of each kind that wait for a slot. Default 1024. */
  readonly maxWaiting?: number
  /** How long a look-up keeps its slot while others wait for one, in milliseconds. Default 4000. */
  readonly patienceMs?: number
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
  /** Asks the server itself and the notaries, once somebody has joined. @param known what is at hand already */
  share(server: ServerName, purpose: KeyPurpose, known: Acquaintance | undefined): SharedLookup
}

export function createKeyLookup(options: KeyLookupOptions): KeyLookup {
  const { store, direct, notaries, denied, clock, timeoutMs = 10_000 } = options
  const { maxLookups = 1024, maxRefreshes = 32, maxWaiting = 1024, patienceMs = 4_000 } = options
  const fair = (slots: number): FairSlots =>
    createFairSlots({ slots, perCause: slots, spare: Math.floor(slots / 4), maxWaiting, patienceMs })
  const forStrangers = fair(maxLookups)
  const forNewKeys = fair(maxRefreshes)
  const forRenewals = fair(maxRefreshes)

  /** By what is known of the server, never by who asks for what: all that ask at once share one look-up. */
  function slotsFor(known: Acquaintance | undefined): FairSlots {
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
    let failed: Failure = { kind: 'failed', reason: 'no notary' }
    for (const [at, notary] of notaries.entries()) {
      const share = (question.deadline - clock()) / (notaries.length - at)
      const answer = await ask(notary, { ...question, deadline: clock() + share })
      if (answer.kind === 'keys') published.push(...answer.published)
      else if (failed.lack === undefined) failed = answer
      if (published.length > 0 && suffices(published, question)) break
    }
    return published.length > 0 ? { kind: 'keys', published } : failed
  }

  async function ask(source: KeySource, question: KeyQuestion): Promise<KeyAnswer> {
    const asked = Promise.race([source.ask(question), gaveWay(question.signal)])
    const answer = await within(question.deadline - clock() + OVERRUN_MS, asked)
    return answer ?? { kind: 'failed', reason: 'no answer in time' }
  }

  async function askAll(question: KeyQuestion, known: Acquaintance | undefined): Promise<LookupOutcome> {
    const directDeadline = clock() + timeoutMs * (notaries.length > 0 ? DIRECT_SHARE : 1)
    const own = await ask(direct, { ...question, deadline: directDeadline })
    if (own.kind === 'keys') return had('server', own, known, undefined)
    const told = notaries.length === 0 || question.signal.aborted ? own : await askNotaries(question)
    if (told.kind === 'keys') return had('notary', told, known, known?.record)
    const reason = told === own ? own.reason : `${own.reason}; ${told.reason}`
    const lack = own.lack ?? told.lack
    if (lack !== undefined) return { kind: 'lacking', lack, reason }
    return { kind: 'failed', reason, known: known && { ...known, failing: true } }
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

  function share(server: ServerName, purpose: KeyPurpose, known: Acquaintance | undefined): SharedLookup {
    const slots = slotsFor(known)
    const causes = new Set<string>()
    const { outcome, settle, fail } = settlement()
    let begun = false
    let waiting = 0

    async function begin(cause: string, signal: AbortSignal): Promise<true> {
      if (begun) return true
      begun = true
      const wanted = { keyIds: purpose.keyIds, minimumValidUntil: purpose.at, deadline: clock() + timeoutMs }
      await askAll({ server, ...wanted, cause, signal }, known).then(settle, fail)
      return true
    }

    return {
      outcome,
      get begun() {
        return begun
      },
      join(cause) {
        if (begun || causes.has(cause)) return
        causes.add(cause)
        waiting++
        void slots
          .run([cause], (signal) => begin(cause, signal), timeoutMs)
          .then((ran) => {
            waiting--
            if (ran === undefined && waiting === 0) settle(NO_SLOT)
          })
      },
    }
  }

  return { recall, share }
}

const NO_SLOT: LookupOutcome = { kind: 'lacking', lack: 'missing', reason: 'too many look-ups at once' }

function settlement() {
  let settle: (outcome: LookupOutcome) => void = () => {}
  let fail: (error: unknown) => void = () => {}
  const outcome = new Promise<LookupOutcome>((resolve, reject) => {
    settle = resolve
    fail = reject
  })
  return { outcome, settle, fail }
}

/** When a look-up has to give way to others. */
function gaveWay(signal: AbortSignal): Promise<Failure> {
  const failed: Failure = { kind: 'failed', reason: 'no answer while other look-ups waited', lack: 'crowded' }
  return new Promise((resolve) => {
    if (signal.aborted) resolve(failed)
    else signal.addEventListener('abort', () => resolve(failed), { once: true })
  })
}
