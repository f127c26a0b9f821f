import { readFile, stat, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { finishEvent } from '../support/events.ts'
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

  it('writes what can be imported again, with what cannot be used and the values of every branch', async () => {
    const file = JSON.parse(JSON.stringify(room.importFile()))
    const remote = createIdentity('remote.invalid')
    const carol = person('carol', remote)
    const deep = JSON.parse(`${'['.repeat(110)}${']'.repeat(110)}`)
    const { type: _, ...create } = file.pdus[0]
    const draft = (parts: object) =>
      ({ ...create, prev_events: [room.tip.eventId], auth_events: [], ...parts }) as never
    const member = { room_id: room.roomId, type: 'm.room.member', sender: carol.id }
    const knock = finishEvent(
      draft({ ...member, state_key: carol.id, content: { membership: 'knock', deep } }),
      '11',
      remote,
    )
    const odd = finishEvent(draft({ ...member, state_key: '@odd:remote.invalid', content: { membership: deep } }), '11')
    const alice = person('alice', work.identity)
    const acls = ['a', 'b'].map((name) =>
      finishEvent(
        draft({
          room_id: room.roomId,
          type: 'm.room.server_acl',
          sender: alice.id,
          state_key: '',
          content: { allow: ['*'], deny: [name] },
        }),
        '11',
        work.identity,
      ),
    )
    file.pdus.push(...[knock, odd, ...acls].map(({ pdu }) => pdu))
    await writeFile(work.at('odd.json'), JSON.stringify(file))
    expect(await work.run('rooms', 'import', work.at('odd.json'), '-c', config)).toMatchObject({ code: 0 })
    const path = work.at('copy.json')
    expect(await work.run('rooms', 'export', room.roomId, '-o', path, '-c', config)).toMatchObject({ code: 0, err: '' })
    const before = await show(config)
    expect(before.unusable_events).toMatchObject([{ type: 'm.room.member', state_key: '@odd:remote.invalid' }])
    const other = await work.configure({ store: { kind: 'sqlite', path: work.at('other.db') } })
    expect(await work.run('rooms', 'import', path, '-c', other)).toMatchObject({ code: 0 })
    expect(await show(other)).toEqual({ ...before, revision: 1, facts_revision: 1 })
    const again = work.at('again.json')
    await work.run('rooms', 'export', room.roomId, '-o', again, '-c', other)
    const lists = async (from: string) => {
      const { pdus, auth_chain: chain, extremities } = JSON.parse(await readFile(from, 'utf8'))
      return [pdus, chain, extremities].map((list: unknown[]) => list.map((pdu) => JSON.stringify(pdu)).sort())
    }
    expect(await lists(again)).toEqual(await lists(path))
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
