/**
 * The state that a knock reads beside memberships: what decides it, and what its answer shows of the room.
 * https://spec.matrix.org/latest/client-server-api/#stripped-state
 */
import type { Pdu } from '../matrix/pdu.ts'

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

/** Those by which nobody can knock where the room has an event that cannot be used: it may keep out whoever asks. */
export const DECIDING_TYPES = [
  'm.room.create',
  'm.room.join_rules',
  'm.room.power_levels',
  'm.room.server_acl',
  'm.room.policy',
] as const satisfies readonly (typeof FACT_TYPES)[number][]

/**
 * Of these the value of every branch of a room counts: what one list denies nobody may do, and each policy server is to be
 * asked. All others have one value.
 */
export const TYPES_OF_EVERY_BRANCH: readonly unknown[] = ['m.room.server_acl', 'm.room.policy']

/** Whether an event is one of the facts of its room. */
export function isFact({ type, state_key: stateKey }: Pick<Pdu, 'type' | 'state_key'>): boolean {
  return stateKey === '' && (FACT_TYPES as readonly string[]).includes(type)
}
