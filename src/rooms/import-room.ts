/**
 * Imports a room file: everything in it is checked, staged beside the room in use, and comes into use at once or not at
 * all. docs/room-files.md
 */
import type { Store } from '../knock/ports/store.ts'
import { readRoomFileEvents } from './room-file-events.ts'
import { type RoomFileHeader, readRoomFileHeader } from './room-file-header.ts'
import { type Refused, type RoomStagingPorts, refused, type StagingReport, stageRoom } from './stage-room.ts'
import { type VettingPorts, type VettingResult, vetRoomFile } from './vet-room-file.ts'

export interface RoomImportPorts extends RoomStagingPorts, VettingPorts {
  readonly store: Pick<Store, 'beginImport' | 'readServerKeys'>
}

export interface RoomImportOrder {
  /** Opens the file at its first byte. Called twice. */
  open(): AsyncIterable<Uint8Array>
  /** Drops the knocks that were accepted here and that the file does not know. */
  readonly discardKnocks: boolean
  /** What becomes of a file that is to be warned of. */
  readonly tolerance: 'warn' | 'refuse'
}

export type RoomImportReport =
  | (Extract<StagingReport, { kind: 'imported' }> & VettingResult & { readonly header: RoomFileHeader })
  /** Nothing was changed. */
  | Refused

/**
 * Imports a room file.
 * @throws Error of the file system or the store where they fail; nothing is changed then
 */
export async function importRoom(ports: RoomImportPorts, order: RoomImportOrder): Promise<RoomImportReport> {
  const read = await readRoomFileHeader(order.open())
  if (!read.ok) return refused(read.reason)
  const { header } = read
  const { discardKnocks, tolerance } = order
  const vetting = vetRoomFile(ports, readRoomFileEvents(order.open(), header), header.version, tolerance)
  const report = await stageRoom(ports, { header, events: vetting.events, discardKnocks })
  return report.kind === 'refused' ? report : { ...report, ...vetting.found(), header }
}
