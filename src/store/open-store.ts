/** The store that the configuration names. */
import type { Clock, Store } from '../knock/ports.ts'
import { createMemoryStore } from './memory/memory-store.ts'
import { openSqliteStore } from './sqlite/sqlite-store.ts'

/** Where rooms, keys, decisions and deliveries are kept. */
export type StoreLocation = { readonly kind: 'memory' } | { readonly kind: 'sqlite'; readonly path: string }

/**
 * Opens the store.
 * @throws Error with a reason for the operator where it cannot be opened
 */
export async function openStore(
  location: StoreLocation,
  options: { clock: Clock; historyMs?: number },
): Promise<Store> {
  if (location.kind === 'memory') return createMemoryStore(options)
  return openSqliteStore({ ...options, path: location.path })
}
