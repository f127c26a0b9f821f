import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import type { UserId } from '../../../src/matrix/identifiers.ts'
import { accept, importRoom, knock, membershipOf, ROOM } from '../sample-room.ts'
import { temporaryStore } from './temporary-store.ts'

const PROGRAM = fileURLToPath(new URL('./writer-program.ts', import.meta.url))

function run(...args: readonly string[]): { readonly ended: Promise<{ code: number | null; errors: string }> } {
  const child = spawn(process.execPath, ['--import', 'tsx', PROGRAM, ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  let errors = ''
  child.stderr.on('data', (chunk) => {
    errors += chunk
  })
  return { ended: new Promise((resolve) => child.on('exit', (code) => resolve({ code, errors }))) }
}

describe('two processes at one store', () => {
  it('one imports while the other takes knocks: every knock is recorded and none is lost', {
    timeout: 60_000,
  }, async () => {
    const file = await temporaryStore()
    const store = await file.open()
    await importRoom(store)
    let importing = true
    const importer = run('import', file.path, '3').ended.finally(() => {
      importing = false
    })
    const users: UserId[] = []
    for (let at = 0; importing || at < 50; at++) {
      const user = `@u${at}:remote.test` as UserId
      let outcome = await accept(store, knock(`k${at}`, user, ['bob']))
      // A swap between reading and writing: the use case reads again, and so does this.
      while (outcome.kind === 'conflict') outcome = await accept(store, knock(`k${at}`, user, ['bob']))
      expect(outcome.kind).toBe('committed')
      users.push(user)
    }
    expect(await importer).toEqual({ code: 0, errors: '' })
    expect(await store.roomSummary(ROOM)).toMatchObject({ members: 1_502, revision: users.length + 4 })
    for (const user of users) expect(await membershipOf(store, user), user).toBe('knock')
  })

  it('both create the file at once, and both succeed', { timeout: 60_000 }, async () => {
    const file = await temporaryStore()
    const ends = await Promise.all([1, 2, 3].map(() => run('import', file.path, '0').ended))
    expect(ends).toEqual(ends.map(() => ({ code: 0, errors: '' })))
    expect(file.rows().rooms).toBe(0)
  })
})
