/**
 * The state that a knock reads beside memberships: what decides it, and what its answer shows of the room.
 * https://spec.matrix.org/latest/client-server-api/#stripped-state
 */
import type { Pdu } from '../matrix/event.ts'

/** Types of state with an empty state key that make up the facts of a room. */
export const FACT_TYPES = [
  'm.room.create',
  'm.room.join_rules',
  'm.room.power_levels',
  'm.room.server_acl',
  'm.room.policy',
  'm.room.name',
  'm.room.avatar',
  'm.room.canonical_alias',
  'm.room.encryption',
  'm.room.topic',
] as const

/** Whether an event is one of the facts of its room. */
export function isFact({ type, state_key: stateKey }: Pdu): boolean {
  return stateKey === '' && (FACT_TYPES as readonly string[]).includes(type)
}
