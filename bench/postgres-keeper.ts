/** Keeps a PostgreSQL server for as long as the channel to its parent is open, then removes it with all that it holds. */
import { startPostgres } from '../test/support/postgres-server.ts'

/** What an operator has who set nothing, but for the memory of the server: its usual, not that of tests. */
const SETTINGS = { shared_buffers: '128MB', max_connections: '150' }

const started = startPostgres(SETTINGS)
const end = async (): Promise<void> => {
  await (await started).remove()
  process.exit()
}
process.once('disconnect', end)
// A terminal interrupts all processes at once; this one ends when its parent has.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)

const { url } = await started
if (process.connected) process.send?.(url)
else await end()
