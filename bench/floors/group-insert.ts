/** Rows of one table, written in groups: what waits when a commit begins shares its sync with the disk. */
import { DatabaseSync } from '@photostructure/sqlite'

/** Answers once the row is on disk. */
export type GroupInsert = (eventId: string, json: string) => Promise<void>

interface Waiting {
  readonly eventId: string
  readonly json: string
  readonly done: () => void
}

export function openGroupInsert(path: string): GroupInsert {
  const db = new DatabaseSync(path)
  db.exec('PRAGMA journal_mode = WAL')
  db.exec('PRAGMA synchronous = FULL')
  db.exec('CREATE TABLE events (event_id TEXT PRIMARY KEY, json TEXT NOT NULL) STRICT, WITHOUT ROWID')
  const row = db.prepare('INSERT INTO events (event_id, json) VALUES (?, ?)')
  let waiting: Waiting[] = []

  const commit = (): void => {
    const group = waiting
    waiting = []
    db.exec('BEGIN IMMEDIATE')
    for (const { eventId, json } of group) row.run(eventId, json)
    db.exec('COMMIT')
    for (const { done } of group) done()
  }
  return (eventId, json) =>
    new Promise((done) => {
      if (waiting.push({ eventId, json, done }) === 1) setImmediate(commit)
    })
}
