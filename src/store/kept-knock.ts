/**
 * What becomes of a knock that was accepted here when its room is imported again. docs/decisions/0004-kept-knocks-and-bans.md
 */
import { authEventIds, type Pdu, prevEventIds } from '../matrix/event.ts'

/** An imported room as far as this question reads it. */
export interface ImportedRoom {
  /** Whether the file itself holds an event: state, auth chain or extremity. */
  has(eventId: string): boolean
  /** An event of the file, or a knock that was accepted here. */
  read(eventId: string): Pdu | undefined
}

/** The file's member event for the user who knocked. */
export interface ImportedMember {
  readonly eventId: string
  readonly membership: string | undefined
}

/**
 * `keep`: the file cannot know the knock, it stays as membership. `in file`: the file has it as the user's membership.
 * `drop`: the file knows it and something came after it, or the file bans the user.
 */
export function fateOfKnock(
  knock: string,
  member: ImportedMember | undefined,
  room: ImportedRoom,
): 'keep' | 'in file' | 'drop' {
  if (room.has(knock)) return member?.eventId === knock ? 'in file' : 'drop'
  if (member === undefined) return 'keep'
  return member.membership === 'ban' || descends(member.eventId, knock, room) ? 'drop' : 'keep'
}

/** Whether an event has another among its ancestors, over `auth_events` and `prev_events`, as far as they are at hand. */
function descends(eventId: string, ancestor: string, { read }: ImportedRoom): boolean {
  const seen = new Set([eventId])
  // A set hands out what is added to it while it is walked.
  for (const id of seen) {
    if (id === ancestor) return true
    const pdu = read(id)
    if (pdu === undefined) continue
    for (const parent of authEventIds(pdu)) seen.add(parent)
    for (const parent of prevEventIds(pdu)) seen.add(parent)
  }
  return false
}
