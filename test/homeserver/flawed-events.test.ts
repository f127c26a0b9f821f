/**
 * Events that a homeserver has and that we cannot read, hash or verify: each closes its own place in the room and nothing
 * else. docs/decisions/0012-one-event-one-slot.md
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { KnockPorts } from '../../src/knock/knock-ports.ts'
import { createKnockLimits } from '../../src/knock/limits.ts'
import { makeKnock } from '../../src/knock/make-knock.ts'
import { sendKnock } from '../../src/knock/send-knock.ts'
import { nativeEd25519 } from '../../src/matrix/ed25519.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../src/matrix/identifiers.ts'
import { exportRoom } from '../../src/rooms/export-room.ts'
import { createKnockPorts } from '../../src/wiring/knocks.ts'
import { ALICE, BOB, CAROL, HERE, keyringOf, REMOTE, THERE, usualRoom } from '../knock/stage.ts'
import { bare } from '../matrix/given.ts'
import type { OracleObject } from '../oracle/json-value.ts'
import { importStage } from '../rooms/import-stage.ts'
import { finishEvent, type SignedEvent } from '../support/events.ts'
import { knockEvent, makeKnockPath, sendKnockPath } from '../support/remote-knocker.ts'
import { authorization, canonical, createIdentity, type Json, type JsonRecord } from '../support/signing.ts'
import { continueRoom, type Person, person, says, sets, type TestRoom } from '../support/test-room.ts'
import { type Beside, beside } from './beside.ts'

const MALLORY = person('mallory', REMOTE)
const VERSION = '11'
const room = usualRoom(VERSION, [says(ALICE, 'hello')])
const SOME_ID = `$${'x'.repeat(43)}`

let world: Beside
let ports: KnockPorts
beforeEach(async () => {
  world = await beside({ localUsers: [ALICE.id as UserId] })
  ports = createKnockPorts(
    {
      serverName: HERE.name as ServerName,
      store: world.store,
      keyring: keyringOf([HERE, THERE, REMOTE], []),
      ed25519: nativeEd25519,
      limits: createKnockLimits({}, world.now),
      clock: world.now,
    },
    { ...world.homeserver, templates: undefined },
  )
  world.resident.has([room])
})
afterEach(() => world.close())

/** The two calls of one user, the second with what the first gave. */
async function knocks(who: Person): Promise<{ readonly make: unknown; readonly send: unknown }> {
  const roomId = room.roomId as RoomId
  const origin = who.server.name as ServerName
  const within = { deadline: world.now() + 10_000, keyDeadline: world.now() + 10_000 }
  const uri = makeKnockPath(room.roomId, who.id, VERSION)
  const get = { method: 'GET', uri, authorization: [], body: undefined } as const
  const asked = { origin, roomId, userId: who.id as UserId, versions: [VERSION], ...within, original: get }
  const make = await makeKnock(ports, asked)
  const knock = make.ok ? signed(make.template.event as JsonRecord, who) : knockEvent(room, who)
  const put = { method: 'PUT', uri: sendKnockPath(room.roomId, knock.eventId) } as const
  const line = authorization(who.server, { ...put, destination: HERE.name, content: knock.pdu })
  const original = { ...put, authorization: [line], body: Buffer.from(canonical(knock.pdu)) }
  const body = bare(knock.pdu as OracleObject)
  const send = await sendKnock(ports, { origin, roomId, eventId: knock.eventId as EventId, body, ...within, original })
  return { make, send }
}

function signed({ origin: _, ...template }: JsonRecord, { server }: Person): SignedEvent {
  return finishEvent(template, VERSION, server)
}

const TAKEN = { make: { ok: true }, send: { ok: true } }

function refusedBy(rule: string, status: number) {
  const refused = { ok: false, status, rule, detail: expect.stringMatching(/cannot be used: ./) }
  return { make: refused, send: refused }
}

/** The homeserver's state with one more item, as it stands. */
function addToState(item: string, list = 'pdus'): void {
  world.resident.fails({ alterText: (text) => text.replace(`"${list}":[`, `"${list}":[${item},`) }, 'state')
}

function knockBy(who: Person, changes: JsonRecord = {}): JsonRecord {
  return knockEvent(room, who, changes).pdu
}

const deep = JSON.parse(`${'['.repeat(110)}${']'.repeat(110)}`) as Json
const text = (pdu: JsonRecord): string => JSON.stringify(pdu)
const knockText = text(knockBy(MALLORY))
/** Of content that nobody's id or signature covers. */
const withContent = (more: string): string => knockText.replace('"membership":"knock"', `"membership":"knock",${more}`)
const without = (key: string): string => {
  const { [key]: _, ...rest } = knockBy(MALLORY)
  return text(rest)
}

describe('a knock in the state of a room, of which the redacted form can be read,', () => {
  it.each<[string, string]>([
    ['is nested 110 lists deep', text(knockBy(MALLORY, { content: { membership: 'knock', deep } }))],
    ['is nested 100,000 lists deep', withContent(`"deep":${'['.repeat(100_000)}${']'.repeat(100_000)}`)],
    ['holds a fraction', withContent('"n":1.0')],
    ['holds an exponent', withContent('"n":1e3')],
    ['holds an integer beyond 2^53', withContent('"n":1152921504606846976')],
    ['holds a key twice', withContent('"n":1,"n":2')],
    ['holds a lone surrogate', withContent('"n":"\\ud800"')],
    ['holds a lone surrogate as a key', withContent('"\\udc00":1')],
    ['holds what is no string', withContent('"n":"\\x"')],
    ['has a further key that is nested too deep', text({ ...knockBy(MALLORY), deep })],
    ['has a fraction in what its server noted beside it', text({ ...knockBy(MALLORY), unsigned: { age: 1.5 } })],
    ['has notes that are nested too deep', text({ ...knockBy(MALLORY), unsigned: { deep } })],
    ['has notes that are none', text({ ...knockBy(MALLORY), unsigned: 5 })],
    ['has another content hash', text({ ...knockBy(MALLORY), hashes: { sha256: 'x'.repeat(43) } })],
    ['is signed with a key of another kind of name', knockText.replaceAll('ed25519:t_1', 'ed25519:i+b2')],
    ['is signed with a key that its server has no more', otherKey()],
  ])('%s: its user may knock again, and so may everybody', async (_what, item) => {
    addToState(item)
    expect(await knocks(CAROL)).toMatchObject(TAKEN)
    expect(await world.store.readRoom(room.roomId as RoomId, MALLORY.id as UserId)).toMatchObject({
      member: { pdu: { content: { membership: 'knock' } } },
    })
    expect(await world.store.listFlaws({ roomId: room.roomId as RoomId, limit: 10 })).toEqual([])
    expect(await knocks(MALLORY)).toMatchObject(TAKEN)
    expect(world.failures).toEqual([])
  })
})

function otherKey(): string {
  const before = person('mallory', createIdentity(REMOTE.name, REMOTE.keyId))
  const { unsigned: _, content: __, ...pdu } = knockEvent(room, before).pdu
  return text({ ...pdu, content: { membership: 'knock' } })
}

const ids = (count: number): string[] => Array.from({ length: count }, (_, at) => `$${String(at).padEnd(43, 'x')}`)

describe('a member event that cannot be used refuses its user and nobody else:', () => {
  it.each<[string, string]>([
    ['its depth is a fraction', knockText.replace(/"depth":\d+/, '"depth":1.0')],
    ['it has its membership twice', withContent('"membership":"leave"')],
    ['it has its content twice', knockText.replace('"content":', '"content":{},"content":')],
    ['it has its type twice', knockText.replace('"type":', '"type":"m.room.topic","type":')],
    ['its membership is nested too deep', text(knockBy(MALLORY, { content: { membership: deep } }))],
    ['its content is a list', text({ ...knockBy(MALLORY), content: [] })],
    ['its hashes are nested too deep', text({ ...knockBy(MALLORY), hashes: { sha256: 'x', deep } })],
    ['it has no hashes', without('hashes')],
    ['its hash is a number', text({ ...knockBy(MALLORY), hashes: { sha256: 5 } })],
    ['it has no signatures', without('signatures')],
    ['its signatures are nested too deep', text({ ...knockBy(MALLORY), signatures: { [REMOTE.name]: { k: deep } } })],
    ['its signatures are numbers', text({ ...knockBy(MALLORY), signatures: { [REMOTE.name]: { k: 5 } } })],
    [
      'it is larger than 65,536 bytes',
      text(knockBy(MALLORY, { content: { membership: 'knock', x: 'x'.repeat(66_000) } })),
    ],
    ['it has eleven auth events', text(knockBy(MALLORY, { auth_events: ids(11) }))],
    ['it comes after 21 events', text(knockBy(MALLORY, { prev_events: ids(21) }))],
    ['its sender is no user', text(knockBy(MALLORY, { sender: 'mallory' }))],
    ['its sender is too long', text(knockBy(MALLORY, { sender: `@${'m'.repeat(300)}:${REMOTE.name}` }))],
    ['it is of another room', text(knockBy(MALLORY, { room_id: '!other:here.test' }))],
    ['it says its id', text({ ...knockBy(MALLORY), event_id: SOME_ID })],
    ['its time is beyond 2^53', knockText.replace(/"origin_server_ts":\d+/, '"origin_server_ts":9007199254740993')],
  ])('%s', async (_what, item) => {
    addToState(item)
    expect(await knocks(MALLORY)).toMatchObject(refusedBy('membership usable', 403))
    expect(await knocks(CAROL)).toMatchObject(TAKEN)
    expect(world.failures).toEqual([])
  })
})

describe('an event that is in nobody’s place is passed over:', () => {
  it.each<[string, string]>([
    ['a membership of garbage', text(knockBy(MALLORY, { state_key: 'garbage', content: { membership: 'join' } }))],
    [
      'a membership of a name that is too long',
      text(knockBy(MALLORY, { state_key: `@${'m'.repeat(300)}:${REMOTE.name}` })),
    ],
    ['a type that is too long', text(knockBy(MALLORY, { type: 'm'.repeat(300) }))],
    ['a type that neither decides nor is shown', text({ ...knockBy(MALLORY, { type: 'org.example' }), hashes: 5 })],
    ['a topic that is not the room’s', text({ ...knockBy(MALLORY, { type: 'm.room.topic' }), hashes: 5 })],
    ['what is no state', text({ type: 'm.room.message', content: {} })],
    ['what has a type that cannot be read', '{"type":"\\ud800","state_key":""}'],
    ['a number', '5'],
    ['a list', `[${knockText}]`],
    ['an empty object', '{}'],
    ['half an object', '{"type"}'],
    ['more than a megabyte', text({ type: 'm.room.member', state_key: MALLORY.id, unsigned: 'x'.repeat(1_100_000) })],
  ])('%s', async (_what, item) => {
    addToState(item)
    expect(await knocks(CAROL)).toMatchObject(TAKEN)
    expect(await knocks(MALLORY)).toMatchObject(TAKEN)
    const summary = await world.store.roomSummary(room.roomId as RoomId)
    expect(summary?.servers).toBe(2)
    expect(await world.store.listFlaws({ roomId: room.roomId as RoomId, limit: 10 })).toEqual([])
  })

  it.each<[string, string]>([
    ['nested too deep in its hashes', text({ ...knockBy(MALLORY), hashes: { sha256: 'x', deep } })],
    ['of another room', text(knockBy(MALLORY, { room_id: '!other:here.test' }))],
    ['that is no event', '5'],
  ])('one of the auth chain %s', async (_what, item) => {
    addToState(item, 'auth_chain')
    expect(await knocks(MALLORY)).toMatchObject(TAKEN)
    expect(world.failures).toEqual([])
  })
})

describe('an event that is shown and cannot be used', () => {
  it.each(['m.room.name', 'm.room.topic', 'm.room.avatar', 'm.room.canonical_alias', 'm.room.encryption'])(
    'is left out: %s',
    async (type) => {
      const pdu = finishEvent({ ...knockBy(ALICE), type, state_key: '', content: {} }, VERSION, HERE).pdu
      addToState(text({ ...pdu, signatures: 5 }))
      const { make, send } = await knocks(CAROL)
      expect({ make, send }).toMatchObject(TAKEN)
      expect((send as { body: string }).body).not.toContain(type)
      expect(await world.store.listFlaws({ roomId: room.roomId as RoomId, limit: 10 })).toMatchObject([{ type }])
    },
  )
})

describe('an event that decides and cannot be used closes its room, to knocks alone:', () => {
  it.each(['m.room.create', 'm.room.join_rules', 'm.room.power_levels', 'm.room.server_acl', 'm.room.policy'])(
    '%s',
    async (type) => {
      const pdu = finishEvent({ ...knockBy(ALICE), type, state_key: '', content: {} }, VERSION, HERE).pdu
      const broken = text({ ...pdu, signatures: 5 })
      world.resident.fails(
        {
          alterText(state) {
            const body = JSON.parse(state) as { pdus: JsonRecord[] }
            const others = body.pdus.filter((other) => other.type !== type).map(text)
            return JSON.stringify({ ...body, pdus: [] }).replace('"pdus":[', `"pdus":[${[...others, broken].join(',')}`)
          },
        },
        'state',
      )
      expect(await knocks(CAROL)).toMatchObject(refusedBy('state usable', 404))
      expect(world.failures).toEqual([])
      expect(await world.store.listFlaws({ types: [type], limit: 10 })).toMatchObject([{ roomId: room.roomId, type }])
      world.resident.heals()
      world.pass(100_000)
      expect(await knocks(CAROL)).toMatchObject(TAKEN)
    },
  )

  it.each(['m.room.server_acl', 'm.room.policy'])('%s with a content hash that does not hold', async (type) => {
    const pdu = finishEvent({ ...knockBy(ALICE), type, state_key: '', content: { allow: ['*'] } }, VERSION, HERE).pdu
    addToState(text({ ...pdu, content: { allow: ['*'], deny: [] } }))
    expect(await knocks(CAROL)).toMatchObject(refusedBy('state usable', 404))
  })
})

describe('a last event that cannot be used', () => {
  const base = usualRoom(VERSION)
  const left = continueRoom(base, [says(ALICE, 'left')])
  const right = continueRoom(base, [says(BOB, 'right')])

  /** The homeserver gives this instead of an event. */
  function giveFor(eventId: string, change: (pdu: string) => string): void {
    const { fails } = world.resident
    fails({ alterText: (body, uri) => (uri.includes(encodeURIComponent(eventId)) ? change(body) : body) }, 'event')
  }

  it.each<[string, (body: string) => string]>([
    ['cannot be read', (body) => body.replace(/"depth":\d+/, '"depth":1.5')],
    ['is not the one that was asked for', (body) => body.replace(/"depth":\d+/, '"depth":1')],
    [
      'is nested too deep where it counts',
      (body) => body.replace('"hashes":{', `"hashes":{"deep":${JSON.stringify(deep)},`),
    ],
  ])('is not built upon where it %s and there are others', async (_what, change) => {
    world.resident.has([left, right])
    for (const flawed of [left, right]) {
      giveFor(flawed.tip.eventId, change)
      expect(await world.refresh(base)).toMatchObject({ kind: 'fresh' })
      const other = flawed === left ? right : left
      expect(await world.extremities(base)).toEqual([other.tip.eventId])
      world.resident.heals()
      world.pass(100_000)
    }
  })

  it.each<[string, (body: string) => string]>([
    ['has a hash that is no string', (body) => body.replace(/"hashes":\{"sha256":"[^"]*"\}/, '"hashes":{"sha256":5}')],
    ['is of no user', (body) => body.replace(/"sender":"[^"]*"/, '"sender":"@\\u0000:remote.test"')],
  ])(
    'is built upon by its id where it %s and there is no other, in a room from an export, too',
    async (_what, change) => {
      const depth = left.tip.pdu.depth as number
      const ends = { extremities: [{ eventId: left.tip.eventId, depth }] }
      world.resident.has([left])
      giveFor(left.tip.eventId, change)
      expect(await world.refresh(base)).toMatchObject({ kind: 'fresh' })
      expect(await world.store.readExtremities(base.roomId as RoomId)).toMatchObject(ends)

      const exported = await exportRoom(world.store, base.roomId as RoomId)
      if (exported.kind !== 'file') throw new Error(exported.reason)
      const lines: string[] = []
      for await (const line of exported.lines) lines.push(line)
      const stage = importStage()
      expect(await stage.import(lines.join(''))).toMatchObject({ kind: 'imported' })
      expect(await stage.store.readExtremities(base.roomId as RoomId)).toMatchObject(ends)
    },
  )

  it('leaves nothing to say of the room where it cannot be told what it does and there is no other', async () => {
    world.resident.has([left])
    giveFor(left.tip.eventId, (body) => body.replace(/"depth":\d+/, '"depth":1.5'))
    expect(await world.refresh(base)).toMatchObject({
      kind: 'unavailable',
      reason: expect.stringMatching(/^none of its last events can be used: event \$.*fraction/),
    })
  })

  it('refuses its user, whichever branch is named first', async () => {
    const member = (branch: TestRoom, who: Person): TestRoom =>
      continueRoom(branch, [{ by: who, type: 'm.room.member', stateKey: who.id, content: { membership: 'join' } }])
    const odd = member(base, MALLORY)
    for (const branches of [
      [odd, right],
      [right, odd],
    ] as const) {
      world.resident.has(branches)
      giveFor(odd.tip.eventId, (body) => body.replace(/"depth":\d+/, '"depth":1.5'))
      expect(await world.refresh(base)).toMatchObject({ kind: 'fresh' })
      expect(await world.store.readRoom(base.roomId as RoomId, MALLORY.id as UserId)).toMatchObject({
        memberFlaw: expect.stringContaining('fraction'),
      })
      expect((await world.store.readRoom(base.roomId as RoomId, CAROL.id as UserId))?.memberFlaw).toBeUndefined()
      world.resident.heals()
      world.pass(100_000)
    }
  })

  it('closes the room where it decides and another branch has another', async () => {
    const acl = continueRoom(base, [sets(ALICE, 'm.room.server_acl', { allow: ['*'] })])
    world.resident.has([acl, right])
    giveFor(acl.tip.eventId, (body) => body.replace(/"depth":\d+/, '"depth":1.5'))
    expect(await world.refresh(base)).toMatchObject({ kind: 'fresh' })
    expect((await world.store.readFacts(base.roomId as RoomId))?.flaws).toMatchObject([{ type: 'm.room.server_acl' }])
  })
})

describe('branches that differ', () => {
  it('in the server ACL let a server in only where each of them does', async () => {
    const base = usualRoom(VERSION, [says(ALICE, 'hello')])
    const open = continueRoom(base, [sets(ALICE, 'm.room.server_acl', { allow: ['*'] })])
    const closed = continueRoom(base, [
      sets(ALICE, 'm.room.server_acl', { allow: ['*'], deny: [REMOTE.name] }),
      says(ALICE, 'so'),
    ])
    for (const branches of [
      [open, closed],
      [closed, open],
    ] as const) {
      world.resident.has(branches)
      expect(await knocks(CAROL)).toMatchObject({ make: { rule: 'server ACL', status: 403 } })
      expect(await knocks(person('tom', THERE))).toMatchObject({ make: { ok: true } })
      world.pass(100_000)
    }
  })

  it('in the policy server are refused where one of them is in force', async () => {
    const base = usualRoom(VERSION, [says(ALICE, 'hello')])
    const policy = (via: string) => sets(ALICE, 'm.room.policy', { via, public_keys: { ed25519: 'key' } })
    const without = continueRoom(base, [policy('nobody.test')])
    const inForce = continueRoom(base, [policy(THERE.name)])
    for (const branches of [
      [without, inForce],
      [inForce, without],
    ] as const) {
      world.resident.has(branches)
      expect(await knocks(CAROL)).toMatchObject({ make: { rule: 'policy servers', status: 403 } })
      world.pass(100_000)
    }
    world.resident.has([without])
    expect(await knocks(CAROL)).toMatchObject(TAKEN)
  })
})
