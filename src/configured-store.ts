/** The store that the configuration names, for the service and for commands beside it. */
import type { Config } from './config/schema.ts'
import type { Clock, Store } from './knock/ports.ts'
import { openStore } from './store/open-store.ts'

const DAY_MS = 86_400_000

/** @throws Error with a reason for the operator where it cannot be opened */
export function openConfiguredStore({ store }: Config, clock: Clock): Promise<Store> {
  const location = store.kind === 'sqlite' ? { kind: store.kind, path: store.path } : { kind: store.kind }
  return openStore(location, { clock, historyMs: store.history_days * DAY_MS })
}
