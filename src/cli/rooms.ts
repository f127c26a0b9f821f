/** `rooms list` and `rooms show`: what the store knows of its rooms. */
import type { RoomFlaw, RoomSummary, Store } from '../knock/ports/store.ts'
import { reasonToClose } from '../knock/room-facts.ts'
import { parseRoomId, type RoomId } from '../matrix/identifiers.ts'
import { type ExitCode, type Output, outJson } from './outcome.ts'
import { table } from './table.ts'

export interface ListOptions {
  readonly json?: boolean
}

const PAGE = 500

export async function listRooms(store: Store, { json }: ListOptions, output: Output): Promise<ExitCode> {
  const rooms: RoomSummary[] = []
  let page: readonly RoomSummary[]
  do {
    page = await store.listRooms(rooms.at(-1)?.roomId, PAGE)
    rooms.push(...page)
  } while (page.length === PAGE)
  if (json === true) outJson(output, rooms.map(roomObject))
  else if (rooms.length === 0) output.out('No rooms. `rooms import FILE.json` adds one.')
  else for (const line of table(HEAD, rooms.map(roomRow))) output.out(line)
  return 0
}

const HEAD = ['ROOM', 'VERSION', 'MEMBERS', 'SERVERS', 'ANSWERS', 'NAME']

function roomRow({ roomId, version, members, servers, resident, name }: RoomSummary): readonly string[] {
  return [roomId, version, String(members), String(servers), resident ? 'yes' : 'no', name ?? '']
}

export async function showRoom(store: Store, room: string, { json }: ListOptions, output: Output): Promise<ExitCode> {
  const roomId = readRoomId(room, output)
  if (roomId === undefined) return 2
  const summary = await store.roomSummary(roomId)
  if (summary === undefined) {
    output.err(`${roomId} is not in the store; \`rooms list\` names those that are.`)
    return 1
  }
  const facts = await store.readFacts(roomId)
  const closed = reasonToClose(facts?.flaws ?? []) ?? null
  const flaws = await store.listFlaws({ roomId, limit: MOST_FLAWS })
  const shown = { ...roomObject(summary), closed_to_knocks: closed }
  if (json === true) outJson(output, { ...shown, unusable_events: flaws.map(flawObject) })
  else {
    const rows = [...Object.entries(shown).map(shownEntry), ...flaws.map(flawRow)]
    for (const line of table([], rows)) output.out(line)
  }
  return 0
}

/** Events that are named of those that cannot be used. */
const MOST_FLAWS = 20

function flawObject({ type, stateKey, reason }: RoomFlaw) {
  return { type, state_key: stateKey, reason }
}

function flawRow({ type, stateKey, reason }: RoomFlaw): readonly string[] {
  return ['unusable_event', [type, stateKey].filter((part) => part !== '').join(' '), reason]
}

function roomObject(room: RoomSummary) {
  return {
    room_id: room.roomId,
    name: room.name ?? null,
    room_version: room.version,
    resident: room.resident,
    members: room.members,
    servers: room.servers,
    extremities: room.extremities,
    revision: room.revision,
    facts_revision: room.factsRevision,
  }
}

function shownEntry([key, value]: readonly [string, string | number | boolean | null]): readonly string[] {
  return [key, value === null ? '' : String(value)]
}

/** A room id from the command line; what is none is wrong usage. */
export function readRoomId(text: string, output: Output): RoomId | undefined {
  const roomId = parseRoomId(text)
  if (roomId === undefined) output.err(`${JSON.stringify(text)} is no room id; expected !localpart:server or !hash`)
  return roomId
}
