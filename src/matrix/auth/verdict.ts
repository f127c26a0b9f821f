/**
 * What an authorisation rule says of an event, with the rule's number in its room version.
 * https://spec.matrix.org/latest/rooms/ (each version's "Authorization rules")
 */
import type { RoomVersion } from '../room-versions.ts'

export type Verdict = Allowed | Rejected

export interface Allowed {
  readonly allowed: true
  /** The rule that allowed, such as `auth v10 4.7.3`. */
  readonly rule: string
}

export interface Rejected {
  readonly allowed: false
  /** The rule that rejected, such as `auth v10 4.7.1`. */
  readonly rule: string
  /** For people: what the rule found. */
  readonly reason: string
}

/** Cites a rule as the room version numbers it. */
export function cite(version: RoomVersion, number: string): string {
  return `auth v${version.id} ${number}`
}

export function rejected(version: RoomVersion, number: string, reason: string): Rejected {
  return { allowed: false, rule: cite(version, number), reason }
}
