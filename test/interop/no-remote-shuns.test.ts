/**
 * What a real Synapse with the usual retries makes of each refusal: a 401, 429 or 5xx would have it ask the whole
 * homeserver nothing for ten minutes, and then longer. docs/decisions/0003-statuses-that-do-no-harm.md
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { good, registerAppservice } from './support/beside-stage.ts'
import type { Client } from './support/client.ts'
import type { Homeserver } from './support/homeserver.ts'
import { lastEvents, stateAt } from './support/own-requests.ts'
import { DENIED, FORWARDED, INJECTED, KNOCKS, type RefusedKnock, ROOMS, TEMPLATES } from './support/refused-knocks.ts'
import { type ServiceBeside, startServiceBeside } from './support/service-beside.ts'
import { type Knocking, type Place, startKnocking, startPlace } from './support/shunning.ts'
import { startSynapse } from './support/synapse.ts'

let knocking: Knocking

beforeAll(async () => {
  knocking = await startKnocking()
})
afterAll(() => knocking?.homeserver.stop())

/** What the knocking server remembers of a place, and what it was told there since. */
async function expectNoHarm({ door }: Place, earlier: number): Promise<void> {
  for (const { status } of door.answers.slice(earlier)) {
    expect(status).toBeLessThan(500)
    expect(status).not.toBeOneOf([401, 429])
  }
  expect(await knocking.retries.intervalFor(door.identity.name)).toBe(0)
}

/** A user knocks by their client, and is refused as it says. */
async function expectRefused(place: Place, { at, status, arrange }: RefusedKnock): Promise<void> {
  const { door } = place
  const user = await knocking.user()
  const earlier = door.answers.length
  const answer = await user.knock(arrange(place, user.userId), door.identity.name)
  expect(answer.status).not.toBe(200)
  await expectNoHarm(place, earlier)
  const refused = door.answers.at(-1)
  expect(refused).toEqual({ call: at, status: status ?? expect.any(Number) })
  expect(refused?.status).toBeGreaterThanOrEqual(400)
}

interface Beside {
  readonly name: string
  readonly host: `127.0.0.${number}`
  readonly homeserver: { readonly handover: string; readonly template?: string }
  readonly refused: readonly RefusedKnock[]
}

const BESIDE: readonly Beside[] = [
  {
    name: 'inject',
    host: '127.0.0.5',
    homeserver: { handover: 'inject' },
    refused: [...ROOMS, ...KNOCKS, ...INJECTED],
  },
  { name: 'forward', host: '127.0.0.6', homeserver: { handover: 'forward' }, refused: FORWARDED },
  {
    name: 'forward with its templates',
    host: '127.0.0.7',
    homeserver: { handover: 'forward', template: 'upstream' },
    refused: TEMPLATES,
  },
]

describe.each(BESIDE)('a Synapse that knocks and is refused, $name', ({ host, homeserver, refused }) => {
  let place: Place
  beforeAll(async () => {
    place = await startPlace(knocking, host, { homeserver })
  })
  afterEach(async () => {
    place.restore()
    await knocking.retries.forget(place.door.identity.name)
  })
  afterAll(() => place?.close())

  it('is let in where nothing is wrong', async () => {
    const user = await knocking.user()
    const answer = await user.knock(place.open().roomId, place.door.identity.name)
    expect(answer.status, answer.text).toBe(200)
    await expectNoHarm(place, 0)
  })

  for (const kind of refused) {
    it(`does not shun the homeserver for ${kind.title}`, () => expectRefused(place, kind))
  }
})

const ONCE = { per_seconds: 3600 }
const LIMITS = {
  per_user: { knocks: 1, ...ONCE },
  per_room: { knocks: 2, ...ONCE },
  per_server: { knocks: 3, ...ONCE },
}

describe('a Synapse that knocks too often', () => {
  let place: Place
  beforeAll(async () => {
    place = await startPlace(knocking, '127.0.0.8', { homeserver: { handover: 'inject' }, limits: LIMITS })
  })
  afterAll(() => place?.close())

  it('does not shun the homeserver for the limits per user, room and server', async () => {
    const via = place.door.identity.name
    const [one, other] = [place.open(), place.open()]
    const first = await knocking.user()
    const [second, third, fourth] = [await knocking.user(), await knocking.user(), await knocking.user()]
    const knocks = [
      { user: first, room: one, status: 200 },
      { user: first, room: one, status: 403 },
      { user: second, room: one, status: 200 },
      { user: third, room: one, status: 403 },
      { user: third, room: other, status: 200 },
      { user: fourth, room: other, status: 403 },
    ]
    for (const { user, room, status } of knocks) {
      const answer = await user.knock(room.roomId, via)
      expect(answer.status, answer.text).toBe(status)
      await expectNoHarm(place, 0)
    }
  })
})

describe('a Synapse that the operator denies', () => {
  let place: Place
  beforeAll(async () => {
    const federation = { deny_servers: ['127.0.0.3*'] }
    place = await startPlace(knocking, '127.0.0.9', { homeserver: { handover: 'inject' }, federation })
  })
  afterAll(() => place?.close())

  it('does not shun the homeserver for it', async () => {
    await expectRefused(place, { title: 'denied', at: 'make_knock', status: 403, arrange: ({ open }) => open().roomId })
  })
})

describe('a Synapse that knocks at another', () => {
  let resident: Homeserver
  let third: Homeserver
  let service: ServiceBeside
  let directory: string
  beforeAll(async () => {
    const { authority } = knocking
    directory = await mkdtemp(join(tmpdir(), 'matrix-knock-shun-'))
    const appservice = await registerAppservice(directory)
    resident = await startSynapse({ authority, host: '127.0.0.2', registrationPath: appservice.registrationPath })
    third = await startSynapse({ authority, host: '127.0.0.4' })
    service = await startServiceBeside({
      ...{ homeserver: resident, ca: authority.cert, handover: 'inject' },
      ...{ appservice, maxStateAgeSeconds: 1 },
    })
    await resident.routeKnocksTo(service.port)
  })
  afterEach(() => knocking.retries.forget(resident.name))
  afterAll(async () => {
    await service?.stop()
    await Promise.all([resident?.stop(), third?.stop()])
    await rm(directory, { recursive: true, force: true })
  })

  /** A client is told 502 for a 404, so it is the service that says what it answered. */
  async function expectRefusedWith(status: 403 | 404, roomId: string, user: Client): Promise<void> {
    const before = await service.answered('make_knock', status)
    expect((await user.knock(roomId, resident.name)).status).not.toBe(200)
    expect(await service.answered('make_knock', status)).toBe(before + 1)
    expect(await knocking.retries.intervalFor(resident.name)).toBe(0)
  }

  it('does not shun it for an unknown room, a rule, an ACL, a ban, or a room that was left', async () => {
    const user = await knocking.user()
    const moderator = await resident.register('moderator')
    const open = (joinRule = 'knock') => moderator.createRoom({ version: '11', joinRule })
    const [denied, banned, left] = [await open(), await open(), await open()]
    good(await moderator.setState(denied, 'm.room.server_acl', '', DENIED))
    good(await moderator.ban(banned, user.userId))
    good(await moderator.leave(left))
    good(await user.knock(await open(), resident.name))
    for (const roomId of [await open('invite'), denied, banned]) await expectRefusedWith(403, roomId, user)
    for (const roomId of [`!nowhere:${resident.name}`, left]) await expectRefusedWith(404, roomId, user)
  })

  it('does not shun it for a room that it is still joining', async () => {
    const [founder, guest] = [await third.register('founder'), await resident.register('guest')]
    const roomId = await founder.createRoom({ version: '11', joinRule: 'knock' })
    good(await founder.invite(roomId, guest.userId))
    // The state of the room is not to be had for as long as this stands.
    const closed = join(directory, 'state-is-closed.conf')
    await writeFile(closed, 'location ~ ^/_matrix/federation/v1/state { return 503; }\n')
    await third.includeInProxy(closed)
    good(await guest.join(roomId, third.name))
    const [tip = ''] = await lastEvents(resident, roomId, guest.userId)
    const partial = await stateAt(resident, 'state_ids', roomId, tip)
    expect(partial.body.errcode, partial.text).toBe('ORG.MATRIX.MSC3895_UNABLE_DUE_TO_PARTIAL_STATE')
    await expectRefusedWith(404, roomId, await knocking.user())
  })
})

describe('a Synapse that knocks at a homeserver that is gone', () => {
  let place: Place
  beforeAll(async () => {
    place = await startPlace(knocking, '127.0.0.10', { homeserver: { handover: 'inject' } })
  })
  afterAll(() => place?.close())

  it('is told so, and leaves it alone for a while: what the other tests look for shows', async () => {
    const { roomId } = place.open()
    await place.resident.close()
    const user = await knocking.user()
    expect((await user.knock(roomId, place.door.identity.name)).status).not.toBe(200)
    expect(place.door.answers.at(-1)?.status).toBeGreaterThanOrEqual(500)
    expect(await knocking.retries.intervalFor(place.door.identity.name)).toBe(600_000)
  })
})
