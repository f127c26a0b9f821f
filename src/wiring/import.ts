/** Imports of room files into the store that the configuration names, with keys of other servers fetched as it allows. */
import { createReadStream } from 'node:fs'
import type { OperatorFiles } from '../config/operator-files.ts'
import type { Config } from '../config/schema.ts'
import type { Clock } from '../knock/ports/rooms.ts'
import type { Store } from '../knock/ports/store.ts'
import { nativeEd25519 } from '../matrix/ed25519.ts'
import { importRoom, type RoomImportReport } from '../rooms/import-room.ts'
import { createConfiguredFederation } from './federation.ts'

export interface ConfiguredImport {
  readonly config: Config
  readonly files: OperatorFiles
  readonly store: Store
  readonly clock: Clock
  /** Path of the room file. */
  readonly file: string
  readonly discardKnocks: boolean
  /** What becomes of a file that is to be warned of. */
  readonly tolerance: 'warn' | 'refuse'
}

/** Bytes of a file that are read at a time. */
const CHUNK_BYTES = 256 * 1024

/** @throws Error where the file or the signing key cannot be read, or the store cannot be written; nothing is changed then */
export async function importConfiguredRoom(order: ConfiguredImport): Promise<RoomImportReport> {
  const { config, files, store, clock, file, discardKnocks, tolerance } = order
  if (files.signingKey === undefined) {
    throw new Error(`signing_key_path: ${config.signing_key_path} cannot be read, and rooms are of no use without it`)
  }
  const federation = createConfiguredFederation({ ...order, keyStore: store })
  try {
    return await importRoom(
      {
        store,
        serverName: config.server_name,
        keyring: federation.keyring,
        ed25519: nativeEd25519,
        clock,
      },
      { open: () => createReadStream(file, { highWaterMark: CHUNK_BYTES }), discardKnocks, tolerance },
    )
  } finally {
    await federation.close()
  }
}
