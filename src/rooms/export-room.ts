/** Writes a room as a file that `rooms import` reads. docs/room-files.md */
import type { RoomCopy, Store } from '../knock/ports/store.ts'
import { decodeRoomFacts } from '../knock/room-facts.ts'
import { canonicalJsonText } from '../matrix/canonical-json.ts'
import type { RoomId } from '../matrix/identifiers.ts'
import { EVENT_LISTS, FLAWS } from './room-file-header.ts'

export type RoomExport =
  /** The file, line by line, read as it is taken. */
  | { readonly kind: 'file'; readonly lines: AsyncIterable<string> }
  | { readonly kind: 'refused'; readonly reason: string }

/** Starts an export; what happens in the room from now on is not in it. */
export async function exportRoom(store: Pick<Store, 'copyRoom' | 'readFacts'>, roomId: RoomId): Promise<RoomExport> {
  const copy = await store.copyRoom(roomId)
  const facts = await store.readFacts(roomId)
  if (copy === undefined || facts === undefined) return { kind: 'refused', reason: 'it is not in the store' }
  // Without what was set aside the file would be of a room that lets more people in.
  const decoded = decodeRoomFacts(facts)
  if ('unusable' in decoded) return { kind: 'refused', reason: decoded.unusable }
  return { kind: 'file', lines: linesOf(copy) }
}

/** Places that nobody may take for empty. */
async function* flawLines(copy: RoomCopy): AsyncGenerator<string, void> {
  yield `,"${FLAWS}":[`
  let separator = ''
  for await (const flaws of copy.flaws()) {
    for (const { type, stateKey, reason } of flaws) {
      yield `${separator}${JSON.stringify({ type, state_key: stateKey, reason })}`
      separator = ','
    }
  }
  yield ']'
}

async function* linesOf(copy: RoomCopy): AsyncGenerator<string, void> {
  yield `{"room_id":${JSON.stringify(copy.roomId)},"room_version":${JSON.stringify(copy.version)}`
  for (const list of EVENT_LISTS) {
    yield `,"${list}":[`
    let separator = ''
    for await (const events of copy.events(list)) {
      for (const { pdu } of events) {
        yield `${separator}${canonicalJsonText(pdu)}`
        separator = ','
      }
    }
    yield ']'
  }
  yield* flawLines(copy)
  yield '}'
}
