/** The store that the configuration names. */
import type { Clock } from '../knock/ports/rooms.ts'
import type { Store } from '../knock/ports/store.ts'
import type { Retention } from './retention.ts'
import { openSqliteStore } from './sqlite/sqlite-store.ts'

/** Where rooms, keys, decisions and deliveries are kept. */
export type StoreLocation =
  | { readonly kind: 'sqlite'; readonly path: string }
  | {
      readonly kind: 'postgres'
      readonly url: string
      /** Most connections at once. */
      readonly poolSize: number
      /** A statement that takes longer is given up, in milliseconds. */
      readonly statementTimeoutMs: number
    }

export interface StoreOptions extends Partial<Retention> {
  readonly clock: Clock
  /** Told what the operator should mend although the store works. */
  readonly warn?: (message: string) => void
}

/**
 * Opens the store.
 * @throws Error with a reason for the operator where it cannot be opened
 */
export async function openStore(location: StoreLocation, options: StoreOptions): Promise<Store> {
  if (location.kind === 'sqlite') return openSqliteStore({ ...options, path: location.path })
  // Who keeps rooms in a file does not wait for the driver.
  const { openPostgresStore } = await import('./postgres/postgres-store.ts')
  return openPostgresStore({ ...options, ...location })
}
