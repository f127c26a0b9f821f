/** Where a store is, in the words of the configuration's section `store`, and how the benchmark gets into it. */
import type { Store } from '../src/knock/ports/store.ts'
import { openStore } from '../src/store/open-store.ts'

export type StorePlace = SqlitePlace | PostgresPlace

export interface SqlitePlace {
  readonly kind: 'sqlite'
  readonly path: string
}

export interface PostgresPlace {
  readonly kind: 'postgres'
  readonly url: string
  readonly pool_size: number
}

/** What is written in bulk takes as long as it takes. */
const STATEMENT_TIMEOUT_MS = 120_000

/** Opens a store beside the service, for as long as some work is done. */
export async function withStore(place: StorePlace, work: (store: Store) => Promise<void>): Promise<void> {
  const location =
    place.kind === 'sqlite' ? place : { ...place, poolSize: place.pool_size, statementTimeoutMs: STATEMENT_TIMEOUT_MS }
  const store = await openStore(location, { clock: Date.now })
  try {
    await work(store)
  } finally {
    await store.close()
  }
}
