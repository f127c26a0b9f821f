/**
 * What becomes of knocks that were accepted here when their room is imported again. docs/decisions/0004-kept-knocks-and-bans.md
 */
import { authEventIds, type Pdu, prevEventIds } from '../matrix/pdu.ts'

/** A knock that was accepted here and is its sender's membership, and what the imported file says to it. */
export interface KnockToPlace {
  readonly eventId: string
  /** As the event states it: those that came after it were given theirs by that. */
  readonly depth: number
  /** The file itself holds the event: state, auth chain or extremity. */
  readonly inFile: boolean
  /** The file's member event for the user who knocked; `unusable` where it has one that cannot be read. */
  readonly member: ImportedMember | 'unusable' | undefined
}

export interface ImportedMember {
  readonly eventId: string
  readonly membership: string | undefined
}

/**
 * `keep`: the file cannot know the knock, it stays as membership. `in file`: the file has it as the user's membership.
 * `drop`: the file knows it and something came after it, or the file bans the user, or may do so.
 */
export type Fate = 'keep' | 'in file' | 'drop'

/** Those of some events that the file holds or that were accepted here, by id. */
export type EventsAtHand = ReadonlyMap<string, Pdu>

/** A question that asks for events on its way to the answer, a generation of ancestors at a time. */
export type Inquiry<Answer> = Generator<readonly string[], Answer, EventsAtHand>

/**
 * Judges several knocks on one room. Events that were walked over for one of them are not walked over for the next.
 * @param shallowest the least depth of the knocks: no event above it has one of them among its ancestors
 */
export function createKnockJudge(shallowest: number): (knock: KnockToPlace) => Inquiry<Fate> {
  const walked = new Set<string>()

  function* descends(eventId: string, { eventId: ancestor, depth }: KnockToPlace): Inquiry<boolean> {
    // Who was met on the way from another event says nothing about this one.
    const [seen, above] = walked.has(ancestor) ? [new Set<string>(), depth] : [walked, shallowest]
    yield* walk(seen, eventId, above)
    return seen.has(ancestor)
  }

  return function* judge(knock) {
    const { eventId, inFile, member } = knock
    if (member === 'unusable') return 'drop'
    if (inFile) return member?.eventId === eventId ? 'in file' : 'drop'
    if (member === undefined) return 'keep'
    return member.membership === 'ban' || (yield* descends(member.eventId, knock)) ? 'drop' : 'keep'
  }
}

/** Adds an event and its ancestors over `auth_events` and `prev_events`, as far as they are at hand and deep enough. */
function* walk(seen: Set<string>, eventId: string, shallowest: number): Inquiry<void> {
  // It may have been met too far up for its own parents to be looked at.
  seen.delete(eventId)
  let generation = [eventId]
  while (generation.length > 0) {
    const unseen = generation.filter((id) => !seen.has(id))
    for (const id of unseen) seen.add(id)
    const found = unseen.length === 0 ? undefined : yield unseen
    generation = []
    for (const [id, pdu] of found ?? []) {
      // What an event names itself is taken at its word; beyond that no ancestor is deeper than its descendant.
      if (id === eventId || pdu.depth >= shallowest) generation.push(...authEventIds(pdu), ...prevEventIds(pdu))
    }
  }
}

/** The answer to a question, where events can be read at once. */
export function answerNow<Answer>(inquiry: Inquiry<Answer>, read: (eventId: string) => Pdu | undefined): Answer {
  for (let step = inquiry.next(); ; ) {
    if (step.done === true) return step.value
    const found = new Map<string, Pdu>()
    for (const id of step.value) {
      const pdu = read(id)
      if (pdu !== undefined) found.set(id, pdu)
    }
    step = inquiry.next(found)
  }
}

/** The least depth of some knocks. */
export function shallowestOf(knocks: readonly { readonly depth: number }[]): number {
  return knocks.reduce((least, { depth }) => Math.min(least, depth), Number.MAX_SAFE_INTEGER)
}
