/** The store that the configuration names, for the service and for commands beside it. */
import { loadStoreUrl } from '../config/operator-files.ts'
import type { Config } from '../config/schema.ts'
import type { Clock } from '../knock/ports/rooms.ts'
import type { Store } from '../knock/ports/store.ts'
import type { Migration, MigrationOrder } from '../store/migrate-store.ts'
import { openStore, type StoreLocation } from '../store/open-store.ts'

const DAY_MS = 86_400_000
const MEGABYTE = 1024 * 1024

/**
 * @param warn told what the operator should mend although the store works
 * @throws Error with a reason for the operator where it cannot be opened
 */
export async function openConfiguredStore(
  config: Config,
  clock: Clock,
  warn: (message: string) => void,
): Promise<Store> {
  const { history_days: history, decision_days: decisions, key_days: keys, refusal_megabytes: refusals } = config.store
  return openStore(await locationOf(config), {
    clock,
    historyMs: history * DAY_MS,
    decisionMs: decisions * DAY_MS,
    keyMs: keys * DAY_MS,
    refusalBytes: refusals * MEGABYTE,
    warn,
  })
}

/** Copies a whole store into another one. */
export async function moveStore(order: MigrationOrder): Promise<Migration> {
  const { migrateStore } = await import('../store/migrate-store.ts')
  return migrateStore(order)
}

async function locationOf(config: Config): Promise<StoreLocation> {
  const { store } = config
  if (store.kind === 'sqlite') return { kind: store.kind, path: store.path }
  const loaded = await loadStoreUrl(config)
  if (!loaded.ok) throw new Error(loaded.problems.map(({ what }) => what).join('; '))
  return {
    kind: store.kind,
    url: loaded.value.url,
    poolSize: store.pool_size,
    statementTimeoutMs: Math.ceil(store.statement_timeout_seconds * 1000),
  }
}
