/** Room files for imports: rooms told as stories, as files that can be changed before they are read. */

import type { Keyring } from '../../src/knock/ports/rooms.ts'
import type { Store } from '../../src/knock/ports/store.ts'
import { nativeEd25519 } from '../../src/matrix/ed25519.ts'
import type { ServerName } from '../../src/matrix/identifiers.ts'
import { importRoom, type RoomImportReport } from '../../src/rooms/import-room.ts'
import { type Asked, HERE, keyringOf, NOW, REMOTE, THERE } from '../knock/stage.ts'
import { createMemoryStore } from '../support/memory-store/memory-store.ts'
import type { Identity, JsonRecord } from '../support/signing.ts'

/** A room file as an object, free to be changed. */
export interface RoomFile {
  room_id: unknown
  room_version: unknown
  pdus: JsonRecord[]
  auth_chain: JsonRecord[]
  extremities: JsonRecord[]
}

export function fileOf(room: { importFile(): JsonRecord }): RoomFile {
  return JSON.parse(JSON.stringify(room.importFile())) as RoomFile
}

export interface ImportStage {
  readonly store: Store
  readonly keyring: Keyring
  readonly asked: Asked[]
  import(file: unknown, options?: { discardKnocks?: boolean; tolerance?: 'warn' | 'refuse' }): Promise<RoomImportReport>
}

/** An empty store beside a keyring that knows these servers. */
export function importStage(
  identities: readonly Identity[] = [HERE, THERE, REMOTE],
  clock: () => number = () => NOW,
): ImportStage {
  const store = createMemoryStore({ clock: () => NOW })
  const asked: Asked[] = []
  const keyring = keyringOf(identities, asked)
  return {
    store,
    keyring,
    asked,
    import(file, { discardKnocks = false, tolerance = 'warn' } = {}) {
      const bytes = Buffer.from(typeof file === 'string' ? file : JSON.stringify(file))
      async function* open(): AsyncGenerator<Uint8Array> {
        for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000)
      }
      const ports = {
        store,
        keyring,
        ed25519: nativeEd25519,
        serverName: HERE.name as ServerName,
        clock,
      }
      return importRoom(ports, { open, discardKnocks, tolerance })
    },
  }
}
