import { describe, expect, it } from 'vitest'
import { readJsonMembers } from '../../src/matrix/json-members.ts'
import { readPartialEvent } from '../../src/matrix/partial-event.ts'
import { type RoomVersion, roomVersion } from '../../src/matrix/room-versions.ts'

const V10 = roomVersion('10') as RoomVersion
const V11 = roomVersion('11') as RoomVersion

function members(text: string): readonly (readonly [string, string])[] | undefined {
  return readJsonMembers(Buffer.from(text))?.map(({ key, bytes }) => [key, Buffer.from(bytes).toString()])
}

function read(text: string, version = V11) {
  return JSON.parse(JSON.stringify(readPartialEvent(Buffer.from(text), version)))
}

describe('an object a level deep', () => {
  it('has its keys and the texts of its values, whatever those hold', () => {
    expect(members(' { "a" : 1.50 , "b":[{"}":"]\\""}], "a":nonsense,"c" : "\\ud800" } ')).toEqual([
      ['a', '1.50'],
      ['b', '[{"}":"]\\""}]'],
      ['a', 'nonsense'],
      ['c', '"\\ud800"'],
    ])
    expect(members('{}')).toEqual([])
  })

  it('lacks those whose keys cannot be read', () => {
    expect(members('{"\\ud800":1,"a":2,"\\x":3}')).toEqual([['a', '2']])
  })

  it.each(['', '5', '[]', '{', '{"a"}', '{"a":}', '{"a":1,}', '{"a":1', '{"a":[1}', '{"a":1}x', '{a:1}', '{"a" 1}'])(
    'is none: %s',
    (text) => {
      expect(members(text)).toBeUndefined()
    },
  )
})

describe('an event of which a part cannot be read', () => {
  it('is whole without what its server noted beside it', () => {
    const object = { type: 'm.room.name', content: { name: 'n' } }
    expect(read('{"type":"m.room.name","content":{"name":"n"},"unsigned":1e9}')).toEqual({ kind: 'whole', object })
  })

  it('has its redacted form where redaction keeps none of that', () => {
    const text = '{"type":"m.room.member","content":{"membership":"knock","n":1.5},"origin":[1.5],"foo":1e3}'
    expect(read(text)).toEqual({
      kind: 'redacted',
      object: { type: 'm.room.member', content: { membership: 'knock' } },
    })
    // Up to version 10 redaction keeps `origin`.
    expect(read(text, V10)).toMatchObject({ kind: 'unreadable', told: { type: 'm.room.member' } })
  })

  it('has of an invitation what was signed, from version 11 on', () => {
    const event = (invite: string) =>
      `{"type":"m.room.member","content":{"membership":"invite","third_party_invite":${invite}}}`
    const kept = { membership: 'invite', third_party_invite: { signed: { token: 't' } } }
    const found = read(event('{"signed":{"token":"t"},"display_name":1.5}'))
    expect(found).toEqual({ kind: 'redacted', object: { type: 'm.room.member', content: kept } })
    expect(read(event('{"signed":{"token":1.5}}'))).toMatchObject({ kind: 'unreadable' })
    const before = { type: 'm.room.member', content: { membership: 'invite' } }
    expect(read(event('{"signed":{"token":1.5}}'), V10)).toEqual({ kind: 'redacted', object: before })
  })

  it.each([
    ['a key that redaction keeps', '{"type":"m.room.member","content":{"membership":"a","membership":"b"}}'],
    ['what redaction keeps whole', '{"type":"m.room.create","content":{"n":1.5}}'],
    ['its type', '{"type":5.5,"content":{}}'],
    ['its content', '{"type":"m.room.member","content":[1.5]}'],
    ['all of it', '[1.5]'],
  ])('has none where it cannot be read in %s', (_what, text) => {
    expect(read(text)).toMatchObject({ kind: 'unreadable' })
  })

  it('is read no deeper than any other event', () => {
    const signed = (levels: number) =>
      `{"type":"m.room.member","content":{"n":1.5,"third_party_invite":{"n":1.5,"signed":${'['.repeat(levels)}${']'.repeat(levels)}}}}`
    expect(read(signed(97))).toMatchObject({ kind: 'redacted' })
    expect(read(signed(98))).toMatchObject({ kind: 'unreadable' })
  })

  it('costs little, however many keys it has', () => {
    const keys = Array.from({ length: 100_000 }, (_, at) => `"k${at}":1.5`).join(',')
    expect(read(`{"type":"m.room.member","content":{${keys},"membership":"join"},${keys}}`)).toEqual({
      kind: 'redacted',
      object: { type: 'm.room.member', content: { membership: 'join' } },
    })
  })
})
