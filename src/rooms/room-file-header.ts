/** What a room file says of the whole room: read first, because no event can be named without the room's version. */
import { parseRoomId, type RoomId } from '../matrix/identifiers.ts'
import { parseJson } from '../matrix/json.ts'
import { ROOM_VERSIONS, type RoomVersion, roomVersion } from '../matrix/room-versions.ts'
import { readRoomFile } from './room-file.ts'

export interface RoomFileHeader {
  readonly roomId: RoomId
  readonly version: RoomVersion
}

/** The lists of a room file: its current state, what that references, and its forward extremities. */
export const EVENT_LISTS = ['pdus', 'auth_chain', 'extremities'] as const
export type EventList = (typeof EVENT_LISTS)[number]
/** The list in which an export names places in the state whose events could not be used. It need not be there. */
export const FLAWS = 'flaws'

export type RoomFileHeaderResult =
  | { readonly ok: true; readonly header: RoomFileHeader }
  | { readonly ok: false; readonly reason: string }

/**
 * Reads a room file to its end, without looking into its events. The keys may come in any order; others are passed over.
 * @returns the header, or why this is no room file
 */
export async function readRoomFileHeader(chunks: AsyncIterable<Uint8Array>): Promise<RoomFileHeaderResult> {
  const values = new Map<string, Uint8Array>()
  const lists = new Set<string>()
  for await (const part of readRoomFile(chunks)) {
    if (part.kind === 'flaw') return flawed(part.reason)
    if (part.kind === 'item' || part.kind === 'oversized item') continue
    if (values.has(part.key) || lists.has(part.key)) return flawed(`${part.key} is there twice`)
    if (part.kind === 'list') lists.add(part.key)
    else values.set(part.key, part.bytes)
  }
  const roomId = parseRoomId(textOf(values.get('room_id')) ?? '')
  if (roomId === undefined) return flawed('room_id is missing or no room id')
  const version = roomVersion(textOf(values.get('room_version')) ?? '')
  if (version === undefined) {
    return flawed(`room_version is missing or unknown; expected one of ${ROOM_VERSIONS.join(', ')}, as a string`)
  }
  const missing = EVENT_LISTS.find((key) => !lists.has(key))
  if (missing !== undefined) return flawed(`${missing} is missing or no list of events`)
  return { ok: true, header: { roomId, version } }
}

function textOf(bytes: Uint8Array | undefined): string | undefined {
  const json = bytes && parseJson(bytes)
  return json?.ok && typeof json.value === 'string' ? json.value : undefined
}

function flawed(reason: string): RoomFileHeaderResult {
  return { ok: false, reason }
}
