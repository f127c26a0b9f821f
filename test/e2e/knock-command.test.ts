import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LOOPBACK_NAMES } from '../support/certificates.ts'
import { KNOCKABLE_VERSIONS, type TestedVersion } from '../support/events.ts'
import { type Finished, freePorts, runProgram } from '../support/service-process.ts'
import { createIdentity, type Identity, signingKeyLine } from '../support/signing.ts'
import { bans, buildRoom, joins, opening, person, type TestRoom } from '../support/test-room.ts'
import { type Stage, setStage, until } from './stage.ts'

let stage: Stage
let knocking: Identity
let port = 0
const rooms = new Map<TestedVersion, TestRoom>()

beforeAll(async () => {
  ;[port = 0] = await freePorts(1)
  knocking = createIdentity(`127.0.0.1:${port}`)
  stage = await setStage(({ alice, bob }) => {
    for (const version of KNOCKABLE_VERSIONS) {
      const story = [...opening(alice, version), joins(bob), bans(alice, person('mallory', knocking))]
      rooms.set(version, buildRoom(version, alice, story))
    }
    return [...rooms.values()]
  })
  const { cert, key } = stage.authority.issue(LOOPBACK_NAMES)
  await writeFile(join(stage.service.directory, 'knock-cert.pem'), cert)
  await writeFile(join(stage.service.directory, 'knock-key.pem'), key)
  await writeFile(join(stage.service.directory, 'knock.key'), signingKeyLine(knocking))
})
afterAll(() => stage?.close())

function options(version: TestedVersion, localpart = 'kim'): Record<string, string> {
  const { directory } = stage.service
  return {
    via: `http://127.0.0.1:${stage.service.port}`,
    room: (rooms.get(version) as TestRoom).roomId,
    user: `@${localpart}:${knocking.name}`,
    'server-name': knocking.name,
    'signing-key': join(directory, 'knock.key'),
    listen: `127.0.0.1:${port}`,
    'tls-cert': join(directory, 'knock-cert.pem'),
    'tls-key': join(directory, 'knock-key.pem'),
    destination: stage.resident.name,
  }
}

function run(given: Record<string, string>): Promise<Finished> {
  return runProgram(['knock', ...Object.entries(given).flatMap(([name, value]) => [`--${name}`, value])])
}

describe('matrix-knock knock', () => {
  it.each(KNOCKABLE_VERSIONS)(
    'is accepted by a room of version %s, exits 0, and the knock is delivered',
    async (version) => {
      const { code, stdout } = await run({ ...options(version), reason: 'hello' })
      expect(stdout).toMatch(/^accepted$/m)
      expect(code).toBe(0)
      const eventId = /(\$[\w-]{43}), hashed and signed/.exec(stdout)?.[1] ?? ''
      const find = () => stage.neighbour.received.find(({ eventIds }) => eventIds.includes(eventId))
      await until('delivery', () => find() !== undefined)
      expect(find()?.pdus).toContainEqual(
        expect.objectContaining({ content: { membership: 'knock', reason: 'hello' } }),
      )
    },
  )

  it.each(['10', '12'] as const)('finds the resident’s name where it is not told, version %s', async (version) => {
    const { destination: _destination, ...rest } = options(version, `lee${version}`)
    expect((await run(rest)).code).toBe(0)
  })

  it('exits 1 and says status, code and reason when it is refused', async () => {
    const banned = await run(options('10', 'mallory'))
    expect(banned.code).toBe(1)
    expect(banned.stdout).toMatch(/403 M_FORBIDDEN: .*ban/)
    const wrongVersion = await run({ ...options('10'), ver: '9' })
    expect(wrongVersion.code).toBe(1)
    expect(wrongVersion.stdout).toMatch(/400 M_INCOMPATIBLE_ROOM_VERSION/)
  })

  it('exits 1 when it signs for a server whose key is another', async () => {
    const forged = join(stage.service.directory, 'forged.key')
    await writeFile(forged, signingKeyLine(createIdentity(stage.neighbour.name)))
    const server = { 'server-name': stage.neighbour.name, user: `@kim:${stage.neighbour.name}`, 'signing-key': forged }
    const { code, stdout } = await run({ ...options('10'), ...server })
    expect(stdout).toMatch(/401 M_UNAUTHORIZED/)
    expect(code).toBe(1)
  })

  it('exits 1 when nobody answers', async () => {
    const [closed = 0] = await freePorts(1)
    const { code, stdout } = await run({ ...options('10'), via: `http://127.0.0.1:${closed}` })
    expect(stdout).toMatch(/no answer/)
    expect(code).toBe(1)
  })

  it.each<[string, Record<string, string>]>([
    ['via', { via: 'http://127.0.0.1:1/path' }],
    ['via', { via: 'ftp://127.0.0.1' }],
    ['room', { room: 'garden' }],
    ['user', { user: 'kim' }],
    ['server-name', { 'server-name': 'a b' }],
    ['listen', { listen: '127.0.0.1' }],
    ['signing-key', { 'signing-key': '/nowhere' }],
    ['ver', { ver: 'TEN' }],
    ['destination', { destination: 'a/b' }],
  ])('exits 2 and names --%s when that is wrong', async (name, wrong) => {
    const { code, stderr } = await run({ ...options('10'), ...wrong })
    expect(stderr).toContain(`--${name}`)
    expect(code).toBe(2)
  })

  it('exits 2 when an option is missing or unknown', async () => {
    expect((await runProgram(['knock'])).code).toBe(2)
    expect((await run({ ...options('10'), colour: 'red' })).code).toBe(2)
  })
})
