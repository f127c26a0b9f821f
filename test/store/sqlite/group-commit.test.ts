import { describe, expect, it, onTestFinished } from 'vitest'
import { openWriter } from '../../../src/store/sqlite/connection.ts'
import { createGroupCommit } from '../../../src/store/sqlite/group-commit.ts'
import type { Handlers, JobMessage } from '../../../src/store/sqlite/writer-jobs.ts'
import { temporaryStore, withReader } from './temporary-store.ts'

/** Jobs that write one row each; the one for `bad` fails after it wrote. */
async function groupOf(onWrite: (server: string) => void) {
  const file = await temporaryStore()
  const db = openWriter({ path: file.path })
  onTestFinished(() => db.close())
  const insert = db.prepare('INSERT INTO server_keys (server, fetched_at, json) VALUES (?, 0, ?)')
  const writeKeys: Handlers['writeKeys'] = ({ server, json }) => {
    insert.run(server, json)
    onWrite(server)
    return null
  }
  const commit = createGroupCommit(db, { writeKeys } as unknown as Handlers)
  const job = (id: number, server: string): JobMessage => [id, 'writeKeys', { server, fetchedAt: 0, json: '[]' }]
  const stored = () =>
    withReader(file.path, (reader) =>
      (reader.prepare('SELECT server FROM server_keys ORDER BY server').all() as { server: string }[]).map(
        ({ server }) => server,
      ),
    )
  return { db, commit, job, stored }
}

describe('a group commit', () => {
  it('undoes the job that fails and keeps its neighbours', async () => {
    const { commit, job, stored } = await groupOf((server) => {
      if (server === 'bad') throw new Error('no')
    })
    expect(commit([job(1, 'a'), job(2, 'bad'), job(3, 'b'), job(4, 'a'), job(5, 'c')])).toEqual([
      [1, true, null],
      [2, false, 'no'],
      [3, true, null],
      [4, false, expect.stringContaining('UNIQUE')],
      [5, true, null],
    ])
    expect(stored()).toEqual(['a', 'b', 'c'])
  })

  it('answers nobody with success when the transaction is lost', async () => {
    const { db, commit, job, stored } = await groupOf((server) => {
      if (server !== 'bad') return
      db.exec('ROLLBACK')
      throw new Error('database or disk is full')
    })
    expect(commit([job(1, 'a'), job(2, 'bad'), job(3, 'b')])).toEqual(
      [1, 2, 3].map((id) => [id, false, 'database or disk is full']),
    )
    expect(stored()).toEqual([])
    expect(commit([job(4, 'later')])).toEqual([[4, true, null]])
  })

  it('is one transaction: readers see none of it before the end', async () => {
    const seen: string[][] = []
    let stored = (): string[] => []
    const group = await groupOf(() => seen.push(stored()))
    stored = group.stored
    group.commit([group.job(1, 'a'), group.job(2, 'b')])
    expect(seen).toEqual([[], []])
    expect(stored()).toEqual(['a', 'b'])
  })
})
