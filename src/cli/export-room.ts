/** `rooms export`: writes a room as a file that `rooms import` reads. */
import type { Store } from '../knock/ports/store.ts'
import { visible } from '../observability/visible.ts'
import { exportRoom } from '../rooms/export-room.ts'
import type { ExitCode, Output } from './outcome.ts'
import { readRoomId } from './rooms.ts'
import { FILE_MODES, type WriteOptions, writeNewFile } from './write-file.ts'

export async function exportRoomFile(
  store: Store,
  room: string,
  { output: path, overwrite = false }: WriteOptions,
  output: Output,
): Promise<ExitCode> {
  const roomId = readRoomId(room, output)
  if (roomId === undefined) return 2
  const exported = await exportRoom(store, roomId)
  if (exported.kind === 'refused') {
    output.err(`${roomId} cannot be exported: ${exported.reason}`)
    return 1
  }
  if (path === undefined) {
    for await (const line of exported.lines) output.out(line)
    return 0
  }
  // Who can read the file knows who is in the room.
  return writeNewFile({ path, chunks: withEnds(exported.lines), mode: FILE_MODES.ownerAlone, overwrite }, output)
}

/** As on standard output: the same values, and no character in them that is not seen. */
async function* withEnds(lines: AsyncIterable<string>): AsyncGenerator<string, void> {
  for await (const line of lines) yield `${visible(line)}\n`
}
