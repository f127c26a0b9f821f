import { writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { finishEvent } from '../support/events.ts'
import { createIdentity, type JsonRecord } from '../support/signing.ts'
import {
  bans,
  buildRoom,
  joinRule,
  joins,
  type Line,
  opening,
  person,
  sets,
  type TestRoom,
} from '../support/test-room.ts'
import { openWorkplace, type Workplace } from './program-fixture.ts'

let work: Workplace
let config: string
const remote = createIdentity('remote.invalid')
const mallory = person('mallory', remote)
const kim = person('kim', remote)

beforeEach(async () => {
  work = await openWorkplace()
  config = await work.configure()
})
afterEach(() => work.remove())

function roomOf(
  by = person('alice', work.identity),
  more: readonly Line[] = [],
  localpart: string = 'garden',
): TestRoom {
  return buildRoom('11', by, [...opening(by, '11'), ...more], { localpart, since: 1_700_000_000_000 })
}

async function write(content: unknown): Promise<string> {
  const path = work.at('room.json')
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content))
  return path
}

describe('rooms import', () => {
  it('says what it brought in', async () => {
    const room = roomOf()
    const { code, out } = await work.run('rooms', 'import', await write(room.importFile()), '-c', config)
    expect(code).toBe(0)
    expect(out).toBe(`Imported ${room.roomId} (version 11): 4 events of state, 1 joined members on 1 servers.\n`)
    expect((await work.run('rooms', 'list', '-c', config)).out).toContain(room.roomId)
  })

  it('says where nobody of ours is in the room, and which signatures are still to be checked', async () => {
    const file = await write(roomOf(person('old', remote)).importFile())
    const { code, out } = await work.run('rooms', 'import', file, '-c', config)
    expect(code).toBe(0)
    expect(out).toMatch(/No user of resident\.example is joined: .* 404/)
    expect(out).toMatch(/Signatures not checked yet.*m\.room\.create/)
  })

  it('warns of what is wrong with a file and does not refuse it, and refuses it with --strict', async () => {
    const file = roomOf().importFile() as { pdus: JsonRecord[] }
    const garbage = finishEvent({ ...(file.pdus[0] as JsonRecord), type: 'm.room.member', state_key: 'garbage' }, '11')
    const broken = file.pdus.map((pdu) => (pdu.type === 'm.room.join_rules' ? { ...pdu, signatures: {} } : pdu))
    const theirs = finishEvent({ ...garbage.pdu, sender: kim.id, room_id: roomOf().roomId }, '11', remote).pdu
    const path = await write({ ...file, pdus: [...broken, theirs] })
    const strict = await work.run('rooms', 'import', path, '--strict', '-c', config)
    expect([strict.code, strict.out]).toEqual([1, ''])
    expect(strict.err).toMatch(/room\.json: \$.* \(m\.room\.join_rules\) is not signed by .*Nothing was changed/)
    expect((await work.run('rooms', 'list', '--json', '-c', config)).out).toBe('[]\n')

    const { code, out, err } = await work.run('rooms', 'import', path, '-c', config)
    expect(code).toBe(0)
    expect(out).toContain('Imported')
    expect(err.trimEnd().split('\n')).toEqual([
      expect.stringMatching(/^warning: \$.* \(m\.room\.join_rules\) is not signed by resident\.example/),
      expect.stringMatching(/^warning: \$.* \(m\.room\.member\) is of no user: its state key is "garbage"/),
      expect.stringMatching(
        /^warning: knocks on this room are answered 404: .*m\.room\.join_rules event cannot be used/,
      ),
    ])
    const shown = await work.run('rooms', 'show', roomOf().roomId, '-c', config)
    expect(shown.out).toMatch(/closed_to_knocks +the room's m\.room\.join_rules event cannot be used: /)
    expect(shown.out).toMatch(/unusable_event +m\.room\.join_rules +\$.*is not signed/)
  })

  it('says how many auth events the file lacks', async () => {
    const alice = person('alice', work.identity)
    const file = roomOf(alice, [joinRule(alice, 'knock')]).importFile()
    const { out } = await work.run('rooms', 'import', await write({ ...file, auth_chain: [] }), '-c', config)
    expect(out).not.toContain('Auth events')
    const again = roomOf(alice, [sets(alice, 'm.room.power_levels', { users: { [alice.id]: 100 } }), joins(alice)])
    const lacking = await write({ ...again.importFile(), auth_chain: [] })
    const told = await work.run('rooms', 'import', lacking, '-c', config)
    expect(told.out).toMatch(/Auth events that are referenced and not in the file: \d\.\n/)
  })

  it('names the file and the reason where it refuses, and changes nothing', async () => {
    const file = { ...roomOf().importFile(), room_version: '10' }
    const { code, out, err } = await work.run('rooms', 'import', await write(file), '-c', config)
    expect([code, out]).toEqual([1, ''])
    expect(err).toMatch(/room\.json: .*Nothing was changed\.\n$/)
    expect((await work.run('rooms', 'list', '--json', '-c', config)).out).toBe('[]\n')
  })

  it('takes several files, and one that is refused keeps none of the others out', async () => {
    const [first, second] = ['alice', 'bob'].map((name) => roomOf(person(name, work.identity), [], name))
    const paths = [work.at('first.json'), work.at('none.json'), work.at('second.json')] as const
    await writeFile(paths[0], JSON.stringify(first?.importFile()))
    await writeFile(paths[2], JSON.stringify(second?.importFile()))
    const { code, out, err } = await work.run('rooms', 'import', ...paths, '-c', config)
    expect(code).toBe(1)
    expect(out.match(/^Imported \S+/gm)).toEqual([`Imported ${first?.roomId}`, `Imported ${second?.roomId}`])
    expect(err).toMatch(/none\.json: .*Nothing was changed\.\n$/)
    expect(JSON.parse((await work.run('rooms', 'list', '--json', '-c', config)).out)).toHaveLength(2)
  })

  it('exits with 1 for a file that is not there, 2 without one, 78 without a key or with a store in memory', async () => {
    expect(await work.run('rooms', 'import', work.at('none.json'), '-c', config)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/none\.json/),
    })
    expect(await work.run('rooms', 'import', '-c', config)).toMatchObject({ code: 2 })
    const file = await write(roomOf().importFile())
    const keyless = await work.configure({ signing_key_path: work.at('no.key') })
    expect(await work.run('rooms', 'import', file, '-c', keyless)).toMatchObject({ code: 78, out: '' })
    const inMemory = await work.configure({ store: { kind: 'memory' } })
    expect(await work.run('rooms', 'import', file, '-c', inMemory)).toMatchObject({ code: 78, out: '' })
  })
})

describe('explain', () => {
  const explained = async (user: string, ...more: string[]) => {
    const { code, out } = await work.run('explain', '!garden:resident.example', user, '--json', '-c', config, ...more)
    return { code, ...JSON.parse(out) }
  }

  beforeEach(async () => {
    const alice = person('alice', work.identity)
    const room = roomOf(alice, [bans(alice, mallory), joinRule(alice, 'public'), joins(kim), joinRule(alice, 'knock')])
    await work.run('rooms', 'import', await write(room.importFile()), '-c', config)
  })

  it('answers with the rule and the facts, for people and as JSON', async () => {
    expect(await explained(mallory.id)).toEqual({
      code: 0,
      room_id: '!garden:resident.example',
      user_id: mallory.id,
      allowed: false,
      status: 403,
      errcode: 'M_FORBIDDEN',
      rule: 'auth v11 4.7.4',
      reason: expect.stringMatching(/membership is ban/),
      detail: null,
      facts: { room_version: '11', revision: 1, join_rule: 'knock', membership: 'ban', age_ms: null },
    })
    const { code, out } = await work.run('explain', '!garden:resident.example', mallory.id, '-c', config)
    expect(code).toBe(0)
    expect(out).toMatch(/^@mallory:remote\.invalid could not knock/)
    expect(out).toMatch(/rule +auth v11 4\.7\.4\n.*\njoin rule +knock\nmembership +ban/)
  })

  it('tells each reason: free, joined, our own, denied by the operator, unknown room', async () => {
    expect(await explained('@free:remote.invalid')).toMatchObject({
      allowed: true,
      status: 200,
      rule: 'auth v11 4.7.3',
    })
    expect(await explained(kim.id)).toMatchObject({ allowed: false, rule: 'auth v11 4.7.4' })
    expect(await explained('@bob:resident.example')).toMatchObject({ allowed: false, rule: 'origin is another server' })
    const unknown = await work.run('explain', '!none:resident.example', kim.id, '-c', config)
    expect(unknown).toMatchObject({ code: 1, out: expect.stringMatching(/404 M_NOT_FOUND/) })
    config = await work.configure({ federation: { deny_servers: ['*.invalid'] } })
    expect(await explained('@free:remote.invalid')).toMatchObject({
      allowed: false,
      rule: expect.stringMatching(/deny_servers/),
    })
  })

  it('exits with 2 for what is no room or user id', async () => {
    expect(await work.run('explain', 'garden', kim.id, '-c', config)).toMatchObject({ code: 2 })
    expect(await work.run('explain', '!garden:resident.example', 'kim', '-c', config)).toMatchObject({ code: 2 })
  })
})
