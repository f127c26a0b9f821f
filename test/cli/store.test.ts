import { writeFile } from 'node:fs/promises'
import { DatabaseSync } from '@photostructure/sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { buildRoom, opening, person } from '../support/test-room.ts'
import { openWorkplace, type Workplace } from './program-fixture.ts'

let work: Workplace
let config: string
beforeEach(async () => {
  work = await openWorkplace()
  config = await work.configure()
  const room = buildRoom('11', person('alice', work.identity), opening(person('alice', work.identity), '11'))
  await writeFile(work.at('room.json'), JSON.stringify(room.importFile()))
  await work.run('rooms', 'import', work.at('room.json'), '-c', config)
})
afterEach(() => work.remove())

describe('store check', () => {
  it('says that nothing is wrong', async () => {
    const ran = await work.run('store', 'check', '-c', config)
    expect(ran).toEqual({ code: 0, out: 'Nothing is wrong with the store.\n', err: '' })
  })

  it('names what is wrong, a line each, and ends with 1', async () => {
    const db = new DatabaseSync(work.at('knock.db'))
    db.exec('DELETE FROM extremities')
    db.close()
    const { code, out, err } = await work.run('store', 'check', '-c', config)
    expect([code, out]).toEqual([1, ''])
    expect(err).toMatch(/^![^\n]*: it has no extremity\n$/)
  })
})

describe('store migrate', () => {
  const migrate = (from: string, to: string) => work.run('store', 'migrate', '--from', from, '--to', to)

  it('says why it copies nothing, and never the password', async () => {
    const url = 'postgres://knock:secret@127.0.0.1:1/none'
    const missing = await migrate(`sqlite:${work.at('none.db')}`, url)
    expect(missing).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringMatching(/none\.db is not there\. Nothing was copied/),
    })
    const { code, err } = await migrate(`sqlite:${work.at('knock.db')}`, `postgres:${url}`)
    expect([code, err]).toEqual([1, expect.stringContaining('Nothing was copied')])
    expect(err).not.toContain('secret')
  })

  it('takes no other kinds of store, and none unnamed', async () => {
    expect((await migrate('postgres://a/b', 'sqlite:x')).code).toBe(2)
    expect((await migrate('sqlite:x', 'postgres:x')).code).toBe(2)
    expect((await work.run('store', 'migrate', '--from', 'sqlite:x')).code).toBe(2)
  })
})
