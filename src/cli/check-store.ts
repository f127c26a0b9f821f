/** `store check`: looks for damage, and for rows that do not agree with each other. docs/storage.md */
import type { StoreHealth } from '../knock/ports/store.ts'
import type { ExitCode, Output } from './outcome.ts'

export async function checkStore(store: Pick<StoreHealth, 'flaws'>, output: Output): Promise<ExitCode> {
  const flaws = await store.flaws()
  for (const flaw of flaws) output.err(flaw)
  if (flaws.length > 0) return 1
  output.out('Nothing is wrong with the store.')
  return 0
}
