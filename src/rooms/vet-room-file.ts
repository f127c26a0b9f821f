/**
 * What of a room file is believed: the file is the word of whoever imports it, its events are looked at one by one. What
 * cannot be used is named, and refuses the file only where that does not hold together. docs/room-files.md
 */
import { isFact } from '../knock/fact-types.ts'
import type { Clock, KeyStore } from '../knock/ports/rooms.ts'
import { judgeSignature, keyIdsOf, type SignaturePorts } from '../knock/server-signature.ts'
import { authoriseCreate } from '../matrix/auth/create-rules.ts'
import { type EventId, type ServerName, serverNameOf } from '../matrix/identifiers.ts'
import { authEventIds } from '../matrix/pdu.ts'
import type { RoomVersion } from '../matrix/room-versions.ts'
import { judgeByStoredKeys } from './keys-at-hand.ts'
import type { ComputedEvent, FlawedEvent, SoundEvent } from './room-event.ts'
import type { EventBatch, EventFlaw } from './room-file-events.ts'
import { isAnybodys } from './stage-room.ts'

export interface VettingPorts extends SignaturePorts {
  readonly store: Pick<KeyStore, 'readServerKeys'>
  /** Our own name: our keys are at hand, so every signature of ours is checked. */
  readonly serverName: ServerName
  readonly clock: Clock
}

export interface Vetting {
  /** The events that are used, and what stands in the place of the others. */
  readonly events: AsyncIterable<EventBatch | EventFlaw>
  /** What was found so far. */
  found(): VettingResult
}

export interface VettingResult {
  /** What is wrong with the file and does not refuse it, a sentence each: the first of them. */
  readonly warnings: readonly string[]
  /** How many there were. */
  readonly warned: number
  /** Types of state whose signatures are checked once the keys of their servers can be had. */
  readonly unverified: readonly string[]
  /** How many events the file names as auth events and does not hold. */
  readonly missingAuthEvents: number
}

const MAX_WARNINGS = 20

/** @param version of the room @param tolerance `refuse`: what would be warned of refuses the file */
export function vetRoomFile(
  ports: VettingPorts,
  events: AsyncIterable<EventBatch | EventFlaw>,
  version: RoomVersion,
  tolerance: 'warn' | 'refuse',
): Vetting {
  const warnings: string[] = []
  let warned = 0
  const unverified: string[] = []
  const held = new Set<EventId>()
  const named = new Set<EventId>()

  const note = ({ events: sound }: EventBatch): void => {
    for (const { eventId, pdu } of sound) {
      held.add(eventId)
      for (const id of authEventIds(pdu)) named.add(id)
    }
  }
  const warn = (sentences: readonly string[]): void => {
    warned += sentences.length
    warnings.push(...sentences.slice(0, MAX_WARNINGS - warnings.length))
  }

  async function* vetted(): AsyncGenerator<EventBatch | EventFlaw, void> {
    for await (const batch of events) {
      const broken = batch.kind === 'flaw' ? batch.reason : refusal(batch, version)
      if (batch.kind === 'flaw' || broken !== undefined) return yield { kind: 'flaw', reason: broken ?? '' }
      const judged = await judgeBatch(ports, batch)
      const [first] = judged.warnings
      if (first !== undefined && tolerance === 'refuse') return yield { kind: 'flaw', reason: first }
      note(judged.batch)
      warn(judged.warnings)
      unverified.push(...factsAmong(judged.batch.unverified ?? new Set()))
      yield judged.batch
    }
  }
  return {
    events: vetted(),
    found: () => ({ warnings, warned, unverified, missingAuthEvents: [...named].filter((id) => !held.has(id)).length }),
  }
}

function factsAmong(events: ReadonlySet<SoundEvent>): readonly string[] {
  return [...events].flatMap(({ pdu }) => (isFact(pdu) ? [pdu.type] : []))
}

/** Why no homeserver can have handed out a file with these events. */
function refusal({ list, events, flaws }: EventBatch, version: RoomVersion): string | undefined {
  const foreign = flaws.find((flaw) => flaw.foreign)
  if (foreign !== undefined) return foreign.reason
  const altered = events.find(({ form }) => form === 'altered')
  if (altered !== undefined) return `the content hash of ${shown(altered)} does not hold, and it is not redacted`
  if (list !== 'pdus') return undefined
  const stateless = events.find(({ pdu }) => pdu.state_key === undefined)
  if (stateless !== undefined) return `${shown(stateless)} in pdus is no state event`
  const unread = flaws.find(({ slot }) => slot === undefined || (slot.type === 'm.room.create' && slot.stateKey === ''))
  if (unread !== undefined) return unread.reason
  const create = events.find(({ pdu }) => pdu.type === 'm.room.create' && pdu.state_key === '')
  const verdict = create && authoriseCreate(create.pdu, version)
  return verdict?.allowed === false ? `${verdict.reason} (${verdict.rule})` : undefined
}

interface JudgedBatch {
  readonly batch: EventBatch
  readonly warnings: readonly string[]
}

async function judgeBatch(ports: VettingPorts, batch: EventBatch): Promise<JudgedBatch> {
  const { list } = batch
  const judgements = await Promise.all(batch.events.map((event) => judge(ports, event, list)))
  const flaws: FlawedEvent[] = [...batch.flaws]
  const events: SoundEvent[] = []
  const unverified = new Set<SoundEvent>()
  const warnings = batch.flaws.map(({ reason }) => reason)
  for (const [at, event] of batch.events.entries()) {
    const { verdict, warning } = judgements[at] as Judgement
    if (warning !== undefined) warnings.push(warning)
    if (verdict === 'wrong') flaws.push(flawOf(event, warning ?? ''))
    else events.push(event)
    if (verdict === 'later') unverified.add(event)
  }
  return { batch: { kind: 'events', list, events, flaws, unverified }, warnings }
}

interface Judgement {
  readonly verdict: 'used' | 'later' | 'wrong'
  readonly warning?: string
}

const USED: Judgement = { verdict: 'used' }

async function judge(ports: VettingPorts, event: SoundEvent, list: EventBatch['list']): Promise<Judgement> {
  if (event.form === 'named') return USED
  const { type, state_key: stateKey } = event.pdu
  const server = serverNameOf(event.sender)
  if (server === ports.serverName) return judgeOwn(ports, event, server)
  if (list !== 'pdus' || stateKey === undefined) return USED
  if (!isAnybodys({ type, stateKey })) {
    return { verdict: 'used', warning: `${shown(event)} is of no user: its state key is ${JSON.stringify(stateKey)}` }
  }
  return isFact(event.pdu) || event.form === 'redacted' ? judgeByKeysAtHand(ports, event, server) : USED
}

/** All keys of ours are known: what none of them verifies is wrong. */
async function judgeOwn(ports: VettingPorts, event: ComputedEvent, server: ServerName): Promise<Judgement> {
  const verdict = await judgeSignature(ports, event, server, ports.clock())
  if (verdict === 'good') return USED
  const warning =
    verdict === 'unknown'
      ? `${shown(event)} is signed by ${server} with ${keysOf(event, server)}: add its earlier keys to old_verify_keys`
      : signatureFlaw(event, server, verdict)
  return { verdict: 'wrong', warning }
}

function keysOf({ pdu }: SoundEvent, server: ServerName): string {
  const ids = keyIdsOf(pdu, server)
  return ids.length === 0 ? 'a key of another kind' : ids.join(', ')
}

async function judgeByKeysAtHand(ports: VettingPorts, event: ComputedEvent, server: ServerName): Promise<Judgement> {
  const verdict = await judgeByStoredKeys(await ports.store.readServerKeys(server), event, server, ports.ed25519)
  if (verdict === 'doubtful') {
    const warning = `no key of ${server} that is known here verifies its signature on ${shown(event)}; an earlier one may`
    return { verdict: 'later', warning }
  }
  if (verdict === 'good' || verdict === 'unknown') return { verdict: 'later' }
  return { verdict: 'wrong', warning: signatureFlaw(event, server, verdict) }
}

function signatureFlaw(event: SoundEvent, server: ServerName, verdict: 'wrong' | 'missing'): string {
  return verdict === 'wrong'
    ? `the signature of ${server} on ${shown(event)} is wrong`
    : `${shown(event)} is not signed by ${server}, the server of its sender`
}

function flawOf({ pdu: { type, state_key: stateKey } }: SoundEvent, reason: string): FlawedEvent {
  return { reason, slot: stateKey === undefined ? undefined : { type, stateKey }, foreign: false }
}

function shown({ eventId, pdu }: SoundEvent): string {
  return `${eventId} (${pdu.type})`
}
