import { readFile, stat, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createIdentity } from '../support/signing.ts'
import { buildRoom, joins, opening, person, says, sets, type TestRoom } from '../support/test-room.ts'
import { openWorkplace, type Workplace } from './program-fixture.ts'

let work: Workplace
let config: string
let room: TestRoom
beforeEach(async () => {
  work = await openWorkplace()
  config = await work.configure()
  const alice = person('alice', work.identity)
  const bob = person('bob', createIdentity('remote.invalid'))
  const odd = sets(alice, 'org.example.odd', { note: 'a\0b' }, 'a\0\u0001b')
  room = buildRoom('11', alice, [...opening(alice, '11'), joins(bob), odd, says(alice, 'hello')])
  await writeFile(work.at('room.json'), JSON.stringify(room.importFile()))
  await work.run('rooms', 'import', work.at('room.json'), '-c', config)
})
afterEach(() => work.remove())

const show = async (from: string) =>
  JSON.parse((await work.run('rooms', 'show', room.roomId, '--json', '-c', from)).out)

describe('rooms export', () => {
  it('writes a file that makes the same room in another store', async () => {
    const path = work.at('copy.json')
    expect(await work.run('rooms', 'export', room.roomId, '-o', path, '-c', config)).toMatchObject({ code: 0, err: '' })
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    const before = await show(config)
    const other = await work.configure({ store: { kind: 'sqlite', path: work.at('other.db') } })
    const { code, out } = await work.run('rooms', 'import', path, '-c', other)
    expect([code, out]).toEqual([0, expect.stringContaining('6 events of state, 2 joined members')])
    expect(await show(other)).toEqual(before)
    const { extremities } = JSON.parse(await readFile(path, 'utf8'))
    expect(extremities).toEqual([room.tip.pdu])
  })

  it('writes the same to standard output', async () => {
    const path = work.at('copy.json')
    await work.run('rooms', 'export', room.roomId, '-o', path, '-c', config)
    const { code, out } = await work.run('rooms', 'export', room.roomId, '-c', config)
    expect(code).toBe(0)
    expect(out).toBe(await readFile(path, 'utf8'))
  })

  it('leaves a file that is there alone, unless it is told to replace it', async () => {
    const path = work.at('room.json')
    const before = await readFile(path, 'utf8')
    const { code, err } = await work.run('rooms', 'export', room.roomId, '-o', path, '-c', config)
    expect([code, err]).toEqual([1, expect.stringContaining('exists already')])
    expect(await readFile(path, 'utf8')).toBe(before)
    const told = await work.run('rooms', 'export', room.roomId, '-o', path, '--overwrite', '-c', config)
    expect(told.code).toBe(0)
    expect(await readFile(path, 'utf8')).not.toBe(before)
  })

  it('refuses a room that is not there, and a word that is no room id', async () => {
    const unknown = await work.run('rooms', 'export', '!none:resident.example', '-c', config)
    expect(unknown).toMatchObject({ code: 1, out: '', err: expect.stringContaining('not in the store') })
    expect((await work.run('rooms', 'export', 'garden', '-c', config)).code).toBe(2)
  })

  it('says where it cannot write, and leaves no half of a room', async () => {
    const path = work.at('none/copy.json')
    const { code, err } = await work.run('rooms', 'export', room.roomId, '-o', path, '-c', config)
    expect([code, err]).toEqual([1, expect.stringContaining('cannot be written')])
  })
})
