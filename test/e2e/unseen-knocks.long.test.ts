import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SignedEvent } from '../support/events.ts'
import { type FakeResident, startFakeResident } from '../support/fake-resident.ts'
import { exchange } from '../support/http-client.ts'
import { knockEvent, makeKnock, sendKnock } from '../support/remote-knocker.ts'
import type { Character } from '../support/resident-answers.ts'
import { freePorts, type Service, startService } from '../support/service-process.ts'
import { buildRoom, joinRule, joins, opening, person, says, type TestRoom } from '../support/test-room.ts'
import { type GatheredCast, gatherCast, until } from './stage.ts'

const HS_TOKEN = 'hs-token-only-on-loopback'
const SETTLED_WITHIN_MS = 20_000

describe.each<Character>(['dendrite', 'synapse'])('a knock that a homeserver like %s took unseen', (character) => {
  let directory: string
  let cast: GatheredCast
  let resident: FakeResident
  let service: Service
  let told: FakeResident['appservice']
  let strangers = 0

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'matrix-knock-unseen-'))
    cast = await gatherCast()
    const others = [cast.remote.identity]
    resident = await startFakeResident({ identity: cast.resident, character, others })
    const [port = 0] = await freePorts(1)
    const registrationPath = join(directory, 'registration.yaml')
    const registration = {
      ...{ id: 'matrix-knock', url: `http://127.0.0.1:${port}`, as_token: 'as-token', hs_token: HS_TOKEN },
      ...{ sender_localpart: 'matrix-knock', namespaces: { rooms: [{ exclusive: false, regex: '!.*' }] } },
    }
    await writeFile(registrationPath, JSON.stringify(registration), { mode: 0o600 })
    const appservice = { listen: { host: '127.0.0.1', port }, registration_path: registrationPath }
    const homeserver = { handover: 'inject', url: resident.url, local_users: [cast.alice.id], appservice }
    // Less than the time after which a room is read anew because a knock does not show in it.
    const timeouts = { handover_seconds: 1.5, request_seconds: 5 }
    const { resident: identity, authority } = cast
    service = await startService({ identity, ca: authority.cert, rooms: [], config: { homeserver, timeouts } })
    told = { port, hsToken: HS_TOKEN }
  })
  afterAll(async () => {
    const code = await service?.stop()
    await resident?.close()
    await cast?.leave()
    await rm(directory, { recursive: true, force: true })
    expect(resident.complaints).toEqual([])
    expect([cast.remote.complaints, cast.neighbour.complaints]).toEqual([[], []])
    expect(code).toBe(0)
  })

  /** A room of Alice and of a neighbour that the service knows, and a knock on it. */
  async function open(): Promise<{ room: TestRoom; knock: SignedEvent }> {
    const { alice, bob, remote } = cast
    const story = [...opening(alice, '11', 'public'), joins(bob), joinRule(alice, 'knock'), says(alice, 'hello')]
    const room = buildRoom('11', alice, story)
    cast.introduce([room])
    resident.has([room])
    strangers += 1
    const stranger = person(`stranger${strangers}`, remote.identity)
    expect((await makeKnock(service, stranger, room)).status).toBe(200)
    resident.forget()
    return { room, knock: knockEvent(room, stranger) }
  }

  const send = (room: TestRoom, knock: SignedEvent) => sendKnock(service, cast.remote.identity, room, knock)
  const isIn = ({ roomId }: TestRoom, { eventId }: SignedEvent): boolean =>
    resident.rooms.get(roomId)?.resolved.timeline.some((event) => event.eventId === eventId) === true
  const received = ({ eventId }: SignedEvent): number =>
    cast.neighbour.received.filter(({ eventIds }) => eventIds.includes(eventId)).length

  const linesOf = ({ eventId }: SignedEvent): readonly string[] =>
    service
      .log()
      .split('\n')
      .filter((line) => line.includes(eventId) && line.includes('seen in its room later'))

  async function attempts(): Promise<string | undefined> {
    const { text } = await exchange(service.adminPort, { method: 'GET', path: '/metrics' })
    return /^matrix_knock_handover_attempts (\d+)$/m.exec(text)?.[1]
  }

  /** The neighbour has it once, the homeserver was given it once, and the remote is answered as if nothing had happened. */
  async function expectSettled(room: TestRoom, knock: SignedEvent): Promise<void> {
    await until('delivery', () => received(knock) > 0, SETTLED_WITHIN_MS)
    expect((await send(room, knock)).status).toBe(200)
    expect([received(knock), resident.count('send')]).toEqual([1, 1])
    await until('end of the attempt', async () => (await attempts()) === '0', SETTLED_WITHIN_MS)
    const { stdout } = await service.command('knocks', 'list', '--room', room.roomId, '--json')
    const knocks = JSON.parse(stdout) as readonly { outcome: string; reason: string }[]
    expect(knocks.filter(({ outcome }) => outcome === 'accepted')).toMatchObject([
      { reason: 'accepted: it was seen in the room later' },
    ])
    // The log is written behind the answer.
    await until('line in the log', () => linesOf(knock).length > 0)
    expect(linesOf(knock)).toHaveLength(1)
  }

  it('reaches the other servers once it can be seen, without another word of the remote', async () => {
    const { room, knock } = await open()
    resident.fails('hang', 'make_leave')
    expect((await send(room, knock)).status).toBe(404)
    expect([isIn(room, knock), received(knock)]).toEqual([true, 0])
    resident.heals()
    await expectSettled(room, knock)
  })

  it('reaches them when the homeserver took it after the remote had its 404, and tells of it', async () => {
    const { room, knock } = await open()
    resident.appservice = told
    resident.transactionMs = 4_000
    expect((await send(room, knock)).status).toBe(404)
    expect(isIn(room, knock)).toBe(false)
    await expectSettled(room, knock)
    resident.transactionMs = 0
    resident.appservice = undefined
  })

  it('reaches them after the service was killed between the acceptance and its record', async () => {
    const { room, knock } = await open()
    resident.fails('hang', 'make_leave')
    const lost = send(room, knock).catch((error: Error) => error)
    await until('acceptance', () => isIn(room, knock))
    await service.kill()
    expect(await lost).toBeInstanceOf(Error)
    resident.heals()
    expect(received(knock)).toBe(0)
    await service.start()
    await expectSettled(room, knock)
  })
})
