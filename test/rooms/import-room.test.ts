import { describe, expect, it } from 'vitest'
import type { KeyId, RoomId, ServerName, UserId } from '../../src/matrix/identifiers.ts'
import { ALICE, BOB, HERE, NOW, REMOTE, THERE, usualRoom } from '../knock/stage.ts'
import { finishEvent, KNOCKABLE_VERSIONS, redacted, signAsItIs } from '../support/events.ts'
import { createIdentity, type JsonRecord } from '../support/signing.ts'
import { bans, buildRoom, joins, opening, person, sets } from '../support/test-room.ts'
import { fileOf, importStage, type RoomFile } from './import-stage.ts'

const NAMED = [sets(ALICE, 'm.room.name', { name: 'Garden' }), sets(ALICE, 'm.room.topic', { topic: 'Seeds' })]

function pduOf(file: RoomFile, type: string, stateKey = ''): JsonRecord {
  const found = file.pdus.find((pdu) => pdu.type === type && pdu.state_key === stateKey)
  if (found === undefined) throw new Error(`the file has no ${type}`)
  return found
}

function replace(file: RoomFile, old: JsonRecord, pdu: JsonRecord): void {
  file.pdus = file.pdus.map((other) => (other === old ? pdu : other))
}

describe('a sound room file', () => {
  it.each(KNOCKABLE_VERSIONS)('of version %s is imported whole', async (version) => {
    const { store, import: bring } = importStage()
    const room = usualRoom(version, NAMED)
    const report = await bring(fileOf(room))
    expect(report).toMatchObject({
      kind: 'imported',
      outcome: { revision: 1, keptKnocks: 0, droppedKnocks: 0 },
      unverified: [],
    })
    const roomId = room.roomId as RoomId
    expect(await store.roomSummary(roomId)).toMatchObject({
      version,
      members: 2,
      servers: 2,
      resident: true,
      name: 'Garden',
      extremities: 1,
    })
    const facts = await store.readFacts(roomId)
    for (const { eventId, pdu } of facts?.state ?? []) expect(room.state(pdu.type)?.eventId).toBe(eventId)
    expect(facts?.state).toHaveLength(5)
    expect(await store.readExtremities(roomId)).toMatchObject({ extremities: [{ eventId: room.tip.eventId }] })
  })

  it('may have its keys in any order, keys that nobody asked for, and `unsigned` on events, which is dropped', async () => {
    const { store, import: bring } = importStage()
    const room = usualRoom('10', NAMED)
    const { room_id, room_version, pdus, auth_chain, extremities } = fileOf(room)
    for (const pdu of pdus) Object.assign(pdu, { unsigned: { age: 5, note: 'x'.repeat(70_000) } })
    const file = { extremities, comment: ['of', { no: 'interest' }], pdus, auth_chain, room_version, at: 1.5, room_id }
    expect(await bring(file)).toMatchObject({ kind: 'imported' })
    const facts = await store.readFacts(room.roomId as RoomId)
    for (const { pdu } of facts?.state ?? []) expect(pdu).not.toHaveProperty('unsigned')
  })

  it('may hold events that were redacted, and they stay so', async () => {
    const { store, import: bring } = importStage()
    const room = usualRoom('10', NAMED)
    const file = fileOf(room)
    const topic = pduOf(file, 'm.room.topic')
    replace(file, topic, redacted(topic, '10'))
    const bob = pduOf(file, 'm.room.member', BOB.id)
    replace(file, bob, redacted(bob, '10'))
    expect(await bring(file)).toMatchObject({ kind: 'imported' })
    const facts = await store.readFacts(room.roomId as RoomId)
    expect(facts?.state.find(({ pdu }) => pdu.type === 'm.room.topic')?.pdu.content).toEqual({})
    expect((await store.readRoom(room.roomId as RoomId, BOB.id as UserId))?.member?.pdu.content).toEqual({
      membership: 'join',
    })
  })

  it('of a room that none of our users is in is imported, and is not ours to answer for', async () => {
    const { store, import: bring } = importStage()
    const room = buildRoom('10', BOB, opening(BOB, '10'), { since: NOW - 1000 })
    expect(await bring(fileOf(room))).toMatchObject({ kind: 'imported' })
    expect((await store.readRoom(room.roomId as RoomId, BOB.id as UserId))?.head.resident).toBe(false)
  })

  it('by a server that is gone is imported, and says which signatures are still to be checked', async () => {
    const { store, import: bring } = importStage([HERE])
    const gone = person('old', createIdentity('gone.test'))
    const room = buildRoom('10', gone, [...opening(gone, '10'), joins(ALICE)], { since: NOW - 1000 })
    const report = await bring(fileOf(room))
    expect(report).toMatchObject({ kind: 'imported' })
    const types = ['m.room.create', 'm.room.join_rules', 'm.room.power_levels']
    expect(report.kind === 'imported' && [...report.unverified].sort()).toEqual(types)
    expect((await store.unverifiedEvents(10)).map(({ event }) => event.pdu.type).sort()).toEqual(types)
  })

  it('may hold a redacted event of a server that is gone: its signature is still to be checked', async () => {
    const { store, import: bring } = importStage([HERE])
    const file = fileOf(usualRoom('10'))
    const bob = pduOf(file, 'm.room.member', BOB.id)
    replace(file, bob, redacted({ ...bob, depth: 40 }, '10'))
    expect(await bring(file)).toMatchObject({ kind: 'imported' })
    expect((await store.unverifiedEvents(10)).map(({ event }) => event.pdu.state_key)).toEqual([BOB.id])
  })

  it('asks nobody for keys, and says what is checked later', async () => {
    const { asked, import: bring } = importStage()
    const room = buildRoom('10', BOB, [...opening(BOB, '10'), joins(person('dan', REMOTE))], { since: NOW - 1000 })
    expect(await bring(fileOf(room))).toMatchObject({
      kind: 'imported',
      unverified: ['m.room.create', 'm.room.power_levels', 'm.room.join_rules'],
      warnings: [],
    })
    expect(asked).toEqual([])
  })

  it('may have several values for what each branch of the room says by itself', async () => {
    const { store, import: bring } = importStage()
    const file = fileOf(ROOM)
    const acls = [
      { allow: ['*'], deny: ['a.test'] },
      { allow: ['*'], deny: ['b.test'] },
    ]
    for (const content of acls) file.pdus.push(draft({ type: 'm.room.server_acl', state_key: '', content }))
    expect(await bring(file)).toMatchObject({ kind: 'imported', warnings: [] })
    const facts = await store.readFacts(ROOM.roomId as RoomId)
    const found = facts?.state.filter(({ pdu }) => pdu.type === 'm.room.server_acl').map(({ pdu }) => pdu.content.deny)
    expect(found?.flat().sort()).toEqual(['a.test', 'b.test'])
  })

  it('says how many of the auth events that are named in it are not there', async () => {
    const { import: bring } = importStage()
    const file = fileOf(usualRoom('10', [sets(ALICE, 'm.room.power_levels', { users: { [ALICE.id]: 100 }, ban: 60 })]))
    expect(await bring(file)).toMatchObject({ kind: 'imported', missingAuthEvents: 0 })
    expect(await bring({ ...file, auth_chain: [] })).toMatchObject({ kind: 'imported', missingAuthEvents: 2 })
  })
})

const ROOM = usualRoom('10', NAMED)

function draft(parts: JsonRecord, by = ALICE): JsonRecord {
  const common = {
    room_id: ROOM.roomId,
    sender: by.id,
    origin_server_ts: NOW,
    depth: 9,
    prev_events: [],
    auth_events: [],
  }
  return finishEvent({ ...common, ...parts }, '10', by.server).pdu
}
function elsewhere(): JsonRecord {
  return finishEvent(
    { ...draft({ type: 'm.room.topic', state_key: '', content: {} }), room_id: '!else:here.test' },
    '10',
    HERE,
  ).pdu
}
function forge(file: RoomFile, type: string, stateKey = ''): void {
  const pdu = pduOf(file, type, stateKey)
  const stranger = createIdentity(HERE.name, HERE.keyId)
  replace(file, pdu, signAsItIs({ ...pdu, signatures: {} }, '10', stranger).pdu)
}
function foreignKey(file: RoomFile): void {
  const pdu = pduOf(file, 'm.room.member', ALICE.id)
  replace(file, pdu, signAsItIs({ ...pdu, signatures: {} }, '10', createIdentity(HERE.name, 'ed25519:other')).pdu)
}
function strip(file: RoomFile): void {
  const pdu = pduOf(file, 'm.room.join_rules')
  replace(file, pdu, { ...pdu, signatures: {} })
}

describe('a room file that does not hold together is refused, and nothing is changed:', () => {
  const room = ROOM
  const faults: readonly (readonly [string, (file: RoomFile) => unknown, RegExp])[] = [
    [
      'changed content',
      (file) => void Object.assign(pduOf(file, 'm.room.name'), { content: { name: 'Hell' } }),
      /the content hash .*m\.room\.name.* does not hold/,
    ],
    ['a changed signed key', (file) => void Object.assign(pduOf(file, 'm.room.name'), { depth: 77 }), /does not hold/],
    [
      'a redacted event with something left',
      (file) => {
        const name = pduOf(file, 'm.room.name')
        replace(file, name, { ...redacted(name, '10'), extra: 1 })
      },
      /does not hold/,
    ],
    [
      'a flaw in the auth chain',
      (file) => void Object.assign(file.auth_chain[0] as object, { extra: 5 }),
      /the content hash .* does not hold/,
    ],
    [
      'a flaw in an extremity',
      (file) => void Object.assign(file.extremities[0] as object, { extra: 5 }),
      /the content hash .* does not hold/,
    ],
    ['an event of another room', (file) => void file.pdus.push(elsewhere()), /another room/],
    [
      'an event that is no state',
      (file) => void file.pdus.push(draft({ type: 'm.room.message', content: {} })),
      /no state event/,
    ],
    [
      'no create event',
      (file) => void replace(file, pduOf(file, 'm.room.create'), pduOf(file, 'm.room.name')),
      /no m\.room\.create/,
    ],
    [
      'two names',
      (file) => void file.pdus.push(draft({ type: 'm.room.name', state_key: '', content: { name: 'B' } })),
      /two events of type m\.room\.name/,
    ],
    [
      'two memberships of one user',
      (file) =>
        void file.pdus.push(draft({ type: 'm.room.member', state_key: BOB.id, content: { membership: 'ban' } })),
      /two events of type m\.room\.member/,
    ],
    [
      'another version than its create event',
      (file) => {
        file.room_version = '9'
      },
      /names room version "10", not 9/,
    ],
    [
      'an unknown version',
      (file) => {
        file.room_version = '13'
      },
      /room_version/,
    ],
    [
      'a version that is a number',
      (file) => {
        file.room_version = 10
      },
      /room_version/,
    ],
    [
      'another room id',
      (file) => {
        file.room_id = '!other:here.test'
      },
      /another room/,
    ],
    [
      'no room id',
      (file) => {
        file.room_id = 'room'
      },
      /room_id/,
    ],
    [
      'no extremities',
      (file) => {
        file.extremities = []
      },
      /extremities is empty/,
    ],
    [
      'no list of state',
      (file) => {
        ;(file as { pdus: unknown }).pdus = {}
      },
      /pdus is missing or no list/,
    ],
    ['an item that is no object', (file) => void file.pdus.push('pdu' as unknown as JsonRecord), /not an object/],
  ]

  it.each(faults)('%s', async (_, change, reason) => {
    const { store, import: bring } = importStage()
    await bring(fileOf(room))
    const before = await store.roomSummary(room.roomId as RoomId)
    const file = fileOf(room)
    change(file)
    expect(await bring(file)).toEqual({ kind: 'refused', reason: expect.stringMatching(reason) })
    expect(await store.roomSummary(room.roomId as RoomId)).toEqual(before)
    expect(await store.listRooms(undefined, 10)).toHaveLength(1)
  })

  it.each([
    ['a key twice', (text: string) => text.replace('{', '{"pdus":[],')],
    ['a fraction in an event', (text: string) => text.replace('"depth":1', '"depth":1.0')],
    ['a key twice in an event', (text: string) => text.replace('"depth":1', '"depth":1,"depth":1')],
    ['an end too early', (text: string) => text.slice(0, -1)],
    ['more after its end', (text: string) => `${text}{}`],
    ['a byte order mark', (text: string) => `\ufeff${text}`],
  ])('%s', async (_, change) => {
    const { store, import: bring } = importStage()
    expect(await bring(change(JSON.stringify(fileOf(room))))).toMatchObject({ kind: 'refused' })
    expect(await store.listRooms(undefined, 10)).toEqual([])
  })

  it.each([
    ['prev_events', { prev_events: [`$${'p'.repeat(43)}`] }, /has prev_events \(auth v12 1\.1\)/],
    [
      'additional_creators that are null',
      { content: { room_version: '12', additional_creators: null } },
      /additional_creators/,
    ],
    [
      'additional_creators that are no users',
      { content: { room_version: '12', additional_creators: ['bob'] } },
      /additional_creators/,
    ],
  ])('a create event with %s', async (_, change, reason) => {
    const { import: bring } = importStage()
    const draft = {
      type: 'm.room.create',
      state_key: '',
      sender: ALICE.id,
      content: { room_version: '12' },
      origin_server_ts: NOW,
      depth: 1,
      prev_events: [],
      auth_events: [],
      ...change,
    }
    const create = finishEvent(draft, '12', HERE)
    const file = {
      room_id: `!${create.eventId.slice(1)}`,
      room_version: '12',
      pdus: [create.pdu],
      auth_chain: [],
      extremities: [create.pdu],
    }
    expect(await bring(file)).toEqual({ kind: 'refused', reason: expect.stringMatching(reason) })
  })

  it('a version 12 room under an id that is not that of its create event', async () => {
    const { import: bring } = importStage()
    const file = fileOf(usualRoom('12'))
    file.room_id = `!${'x'.repeat(43)}`
    expect(await bring(file)).toMatchObject({ kind: 'refused', reason: expect.stringMatching(/another room/) })
  })
})

describe('a room file with an event that cannot be used is imported without it, with a warning:', () => {
  const flawed: readonly (readonly [string, (file: RoomFile) => unknown, RegExp, readonly [string, string][]])[] = [
    [
      'an event without hashes',
      (file) => void delete (pduOf(file, 'm.room.name') as Record<string, unknown>).hashes,
      /^pdus\[\d\]: hashes/,
      [['m.room.name', '']],
    ],
    [
      'an event with an event_id',
      (file) => void Object.assign(pduOf(file, 'm.room.name'), { event_id: '$x' }),
      /event_id/,
      [['m.room.name', '']],
    ],
    [
      'an event that is too large',
      (file) =>
        void file.pdus.push(draft({ type: 'm.room.avatar', state_key: '', content: { url: 'x'.repeat(66_000) } })),
      /larger than 65536/,
      [['m.room.avatar', '']],
    ],
    [
      'our signature forged',
      (file) => void forge(file, 'm.room.join_rules'),
      /signature of here\.test on .* is wrong/,
      [['m.room.join_rules', '']],
    ],
    [
      'our signature on a member forged',
      (file) => void forge(file, 'm.room.member', ALICE.id),
      /signature of here\.test on .* is wrong/,
      [['m.room.member', ALICE.id]],
    ],
    [
      'our signature by a key that is not ours',
      (file) => void foreignKey(file),
      /signed by here\.test with ed25519:other: .*old_verify_keys/,
      [['m.room.member', ALICE.id]],
    ],
    ['our signature missing', (file) => void strip(file), /not signed by here\.test/, [['m.room.join_rules', '']]],
    [
      'a membership of what is no user',
      (file) =>
        void file.pdus.push(
          draft({ type: 'm.room.member', state_key: 'garbage', content: { membership: 'join' } }, BOB),
        ),
      /is of no user: its state key is "garbage"/,
      [],
    ],
    [
      'signatures that are none, on what decides nothing',
      (file) => void file.pdus.push({ ...draft({ type: 'org.example', state_key: '', content: {} }), signatures: 5 }),
      /signatures must be an object/,
      [],
    ],
    [
      'an event of the auth chain that is none',
      (file) => void file.auth_chain.push({ type: 'm.room.create', state_key: '' }),
      /^auth_chain\[\d\]: sender is missing/,
      [],
    ],
    [
      'one extremity of two that is none',
      (file) => void file.extremities.push({ type: 'm.room.name', state_key: '' }),
      /^extremities\[1\]: sender is missing/,
      [],
    ],
  ]

  it.each(flawed)('%s', async (_, change, warning, closed) => {
    const { store, import: bring } = importStage()
    const file = fileOf(ROOM)
    change(file)
    expect(await bring(file, { tolerance: 'refuse' })).toEqual({
      kind: 'refused',
      reason: expect.stringMatching(warning),
    })
    expect(await store.listRooms(undefined, 10)).toEqual([])
    const report = await bring(file)
    expect(report).toMatchObject({ kind: 'imported', warned: 1, warnings: [expect.stringMatching(warning)] })
    const flaws = await store.listFlaws({ roomId: ROOM.roomId as RoomId, limit: 10 })
    expect(flaws.map(({ type, stateKey }) => [type, stateKey])).toEqual(closed)
    const summary = await store.roomSummary(ROOM.roomId as RoomId)
    expect(summary?.extremities).toBe(1)
    for (const [type, stateKey] of closed) {
      const member = await store.readRoom(ROOM.roomId as RoomId, stateKey as UserId)
      if (type === 'm.room.member') expect(member).toMatchObject({ member: undefined, memberFlaw: expect.any(String) })
    }
  })

  it('a wrong signature of another server, where it had said before that its key is another', async () => {
    const { store, import: bring } = importStage()
    const other = createIdentity(THERE.name, THERE.keyId)
    const key = { keyId: other.keyId as KeyId, key: other.publicKey, validUntil: NOW + 86_400_000, old: false }
    await store.writeServerKeys({ server: THERE.name as ServerName, fetchedAt: NOW - 60_000, keys: [key] })
    const room = buildRoom('10', BOB, [...opening(BOB, '10'), joins(ALICE)], { since: NOW - 1000 })
    const report = await bring(fileOf(room))
    expect(report).toMatchObject({ kind: 'imported', warned: 3, unverified: [] })
    expect(report.kind === 'imported' && report.warnings[0]).toMatch(/signature of there\.test on .*create.* is wrong/)
    const flaws = (await store.readFacts(room.roomId as RoomId))?.flaws
    expect(flaws?.map(({ type }) => type)).toEqual(['m.room.create', 'm.room.join_rules', 'm.room.power_levels'])
  })

  it('no more than a warning is a signature by what may have been an earlier key of another server', async () => {
    const { store, import: bring } = importStage()
    const other = createIdentity(THERE.name, THERE.keyId)
    const key = { keyId: other.keyId as KeyId, key: other.publicKey, validUntil: NOW + 86_400_000, old: false }
    await store.writeServerKeys({ server: THERE.name as ServerName, fetchedAt: NOW + 60_000, keys: [key] })
    const room = buildRoom('10', BOB, [...opening(BOB, '10'), joins(ALICE)], { since: NOW - 1000 })
    expect(await bring(fileOf(room))).toMatchObject({ kind: 'imported', warned: 3 })
    expect((await store.readFacts(room.roomId as RoomId))?.flaws).toEqual([])
    expect((await store.readFacts(room.roomId as RoomId))?.state).toHaveLength(3)
  })

  it('names the first twenty of many', async () => {
    const { import: bring } = importStage()
    const file = fileOf(ROOM)
    for (let at = 0; at < 30; at++) file.auth_chain.push({ type: 'x' })
    const report = await bring(file)
    expect(report).toMatchObject({ kind: 'imported', warned: 30 })
    expect(report.kind === 'imported' && report.warnings).toHaveLength(20)
  })

  it('none is left to build upon where no extremity can be used: then the file is refused', async () => {
    const { import: bring } = importStage()
    const file = fileOf(ROOM)
    expect(await bring({ ...file, extremities: [{ type: 'm.room.name', state_key: '' }] })).toEqual({
      kind: 'refused',
      reason: 'none of the forward extremities can be used: extremities[0]: sender is missing',
    })
  })
})

describe('importing again', () => {
  it('replaces the state', async () => {
    const { store, import: bring } = importStage()
    const first = usualRoom('10')
    await bring(fileOf(first))
    const carol = person('carol', REMOTE)
    const second = usualRoom('10', [bans(ALICE, carol)])
    // The same story with one line more: the same create event, since every input is the same.
    expect(second.timeline[0]?.eventId).toBe(first.timeline[0]?.eventId)
    expect(await bring(fileOf(second))).toMatchObject({ kind: 'imported', outcome: { revision: 2 } })
    const now = await store.readRoom(second.roomId as RoomId, carol.id as UserId)
    expect(now?.member?.pdu.content.membership).toBe('ban')
  })
})
