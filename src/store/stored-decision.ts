/** Decisions as a store keeps them. */
import type { Decision } from '../knock/ports/rooms.ts'
import { type JsonObject, parseJson } from '../matrix/json.ts'

/** A decision as the text that decodeDecision reads. */
export function encodeDecision(decision: Decision): string {
  return JSON.stringify(decision)
}

/** @throws Error where the text is not one that encodeDecision wrote */
export function decodeDecision(json: string | Buffer): Decision {
  const parsed = parseJson(typeof json === 'string' ? Buffer.from(json) : json)
  if (!parsed.ok) throw new Error(`a stored decision is damaged: ${parsed.reason}`)
  const { facts, ...rest } = parsed.value as JsonObject & { facts: JsonObject }
  const { roomVersion, revision, joinRule, membership, ageMs } = facts
  const complete = {
    eventId: undefined,
    errcode: undefined,
    ...rest,
    facts: { roomVersion, revision, joinRule, membership, ageMs },
  }
  return complete as unknown as Decision
}
