/** Rooms on which nobody can knock, because an event that decides about knocks cannot be used. */
import { DECIDING_TYPES } from '../knock/fact-types.ts'
import type { RoomAdministration } from '../knock/ports/store.ts'
import { type Check, failed, ok } from './check.ts'

/** Events that are named. */
const MOST_NAMED = 5
const MOST_READ = 1_000
const REMEDY =
  'have a moderator send the event again; with homeserver.handover none, import the room again from a sound file'

export function roomsCheck(store: Pick<RoomAdministration, 'listFlaws'>): Check {
  return {
    name: 'rooms',
    async run() {
      const flaws = await store.listFlaws({ types: DECIDING_TYPES, limit: MOST_READ })
      if (flaws.length === 0) return ok('none is closed by an event that cannot be used')
      const named = flaws.slice(0, MOST_NAMED).map(({ roomId, type, reason }) => `${roomId}: ${type}: ${reason}`)
      const more = flaws.length > MOST_NAMED ? `; and ${flaws.length - MOST_NAMED} more` : ''
      const detail = `closed to knocks by events that cannot be used: ${named.join('; ')}${more}`
      return failed(detail, REMEDY, 'docs/operating.md')
    },
  }
}
