/** Who writes the event that a remote completes and signs: we, or the homeserver. */
import { selectAuthEvents } from '../matrix/auth/auth-events.ts'
import { MAX_AUTH_EVENTS, MAX_DEPTH, MAX_PREV_EVENTS } from '../matrix/event-format.ts'
import type { EventId, RoomId, ServerName, UserId } from '../matrix/identifiers.ts'
import type { JsonObject, JsonValue } from '../matrix/json.ts'
import { type Refusal, refusal } from '../matrix/refusal.ts'
import type { RoomVersion } from '../matrix/room-versions.ts'
import type { Rooms } from './open-room.ts'
import type { Upstream } from './ports/homeserver.ts'
import type { Clock, Extremity, RoomStore } from './ports/rooms.ts'
import type { KnockableRoom } from './room-checks.ts'
import { askForTemplate, noTemplate, type TemplateQuestion } from './upstream-template.ts'

export interface Template {
  readonly ok: true
  readonly template: { readonly room_version: string; readonly event: JsonObject }
}

/** A room in which the user may knock. */
export interface RoomToKnockOn {
  readonly room: KnockableRoom
  readonly version: RoomVersion
  /** Whether it was read for this request because a template was ahead of it before. */
  readonly read: 'as it was' | 'anew'
}

/** One for each way of running; wiring chooses. */
export interface Templates {
  /** @returns `ahead` where the template names events that the room, as it was read, does not have */
  write(question: TemplateQuestion, to: RoomToKnockOn): Promise<Template | Refusal | 'ahead'>
}

export interface OwnTemplatePorts {
  /** Our own, undelegated name. */
  readonly serverName: ServerName
  readonly rooms: Pick<Rooms, 'extremities'>
  readonly clock: Clock
}

/** Written here, from the room as it is known here. */
export function ownTemplates(ports: OwnTemplatePorts): Templates {
  return {
    async write(question, { room, version }) {
      const selection = await ports.rooms.extremities(room.head)
      if (selection === undefined || selection.extremities.length === 0) {
        return refusal('M_NOT_FOUND', 'The state of the room is not available', 'forward extremities known')
      }
      const event = buildTemplate(ports, question, room, version, selection.extremities)
      return { ok: true, template: { room_version: version.id, event } }
    },
  }
}

/**
 * The event that the remote completes and signs: neither signatures nor hashes, nor anything that it would carry into
 * the signed event unseen.
 */
function buildTemplate(
  { serverName, clock }: OwnTemplatePorts,
  { roomId, userId }: { readonly roomId: RoomId; readonly userId: UserId },
  { facts, member }: KnockableRoom,
  version: RoomVersion,
  extremities: readonly Extremity[],
): JsonObject {
  const deepest = Math.max(...extremities.map(({ depth }) => depth))
  return {
    type: 'm.room.member',
    room_id: roomId,
    sender: userId,
    state_key: userId,
    content: { membership: 'knock' },
    origin: serverName,
    origin_server_ts: clock(),
    depth: Math.min(deepest + 1, MAX_DEPTH),
    prev_events: extremities.map(({ eventId }) => eventId),
    auth_events: selectAuthEvents({ ...facts, member }, version),
  }
}

/** The homeserver's own, where our send_knock will know what they build upon. */
export function homeserverTemplates(upstream: Upstream, store: Pick<RoomStore, 'readContext'>): Templates {
  return {
    async write(question, { room, read }) {
      const template = await askForTemplate(upstream, question)
      if (!template.ok) return template
      const { roomVersion, event } = template
      if (roomVersion !== room.head.version) return noTemplate('its room_version is not that of the room')
      const prevEvents = idsIn(event.prev_events, MAX_PREV_EVENTS)
      const authEvents = idsIn(event.auth_events, MAX_AUTH_EVENTS)
      if (prevEvents === undefined || authEvents === undefined || prevEvents.length === 0) {
        return noTemplate('its event does not name the events that it follows')
      }
      const { roomId, userId: sender } = question
      // The event of a template has no id yet.
      const context = await store.readContext({ roomId, sender, eventId: undefined, prevEvents, authEvents })
      const known = prevEvents.filter((id) => context?.branches.has(id))
      if (known.length === 0 || !authEvents.every((id) => context?.authEvents.has(id))) return 'ahead'
      if (known.length === prevEvents.length) return { ok: true, template: { room_version: roomVersion, event } }
      if (read === 'as it was') return 'ahead'
      // A last event that cannot be used is not built upon, whatever the homeserver names.
      return { ok: true, template: { room_version: roomVersion, event: { ...event, prev_events: known } } }
    },
  }
}

function idsIn(value: JsonValue | undefined, most: number): readonly EventId[] | undefined {
  if (!Array.isArray(value) || value.length > most) return undefined
  return value.every((id) => typeof id === 'string') ? (value as EventId[]) : undefined
}
