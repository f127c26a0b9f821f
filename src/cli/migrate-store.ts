/** `store migrate`: copies a whole SQLite store into an empty PostgreSQL database. docs/storage.md */
import { moveStore } from '../wiring/store.ts'
import type { ExitCode, Output } from './outcome.ts'

export interface MigrationOptions {
  readonly from: string
  readonly to: string
}

const FROM = /^sqlite:(.+)$/
const TO = /^(?:postgres:)?(postgres(?:ql)?:\/\/.+)$/

export async function runMigration({ from, to }: MigrationOptions, output: Output): Promise<ExitCode> {
  const path = FROM.exec(from)?.[1]
  const url = TO.exec(to)?.[1]
  if (path === undefined || url === undefined) {
    output.err('expected --from sqlite:PATH and --to postgres://USER@HOST:PORT/DATABASE')
    return 2
  }
  const moved = await moveStore({ path, url, warn: (message) => output.err(`warning: ${message}`) })
  if (moved.kind === 'refused') {
    output.err(`${moved.reason}. Nothing was copied.`)
    return 1
  }
  for (const [table, rows] of moved.rows) output.out(`${table}: ${rows}`)
  output.out('Everything was copied. Set store.kind to postgres, and keep the file until you have looked.')
  return 0
}
