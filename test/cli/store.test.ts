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
