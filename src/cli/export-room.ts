/** `rooms export`: writes a room as a file that `rooms import` reads. */
import { createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Store } from '../knock/store-ports.ts'
import { exportRoom } from '../rooms/export-room.ts'
import type { ExitCode, Output } from './outcome.ts'
import { readRoomId } from './rooms.ts'
import type { WriteOptions } from './write-file.ts'

/** Who can read the file knows who is in the room. */
const OWNER_ALONE = 0o600

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
  return writeLines(exported.lines, path, overwrite ? 'w' : 'wx', output)
}

async function writeLines(
  lines: AsyncIterable<string>,
  path: string,
  flags: 'w' | 'wx',
  output: Output,
): Promise<ExitCode> {
  try {
    await pipeline(Readable.from(withEnds(lines)), createWriteStream(path, { mode: OWNER_ALONE, flags }))
    return 0
  } catch (error) {
    const { code, syscall, message } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && syscall === 'open') {
      output.err(`${path} exists already; nothing was written. Give another path, or --overwrite.`)
      return 1
    }
    // Half a room is none.
    await rm(path, { force: true })
    output.err(`${path} cannot be written: ${message}`)
    return 1
  }
}

async function* withEnds(lines: AsyncIterable<string>): AsyncGenerator<string, void> {
  for await (const line of lines) yield `${line}\n`
}
