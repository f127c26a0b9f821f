import { describe, expect, it } from 'vitest'
import { ROOM_VERSIONS, roomVersion } from '../../src/matrix/room-versions.ts'
import { REDACTION_TABLES } from '../oracle/redaction.ts'
import { version } from './given.ts'

/** The capability table, a line per version: id form, strict JSON, key validity, join rules, creators, signature rule. */
const TABLE: readonly (readonly [string, string, boolean, boolean, readonly string[], boolean, boolean])[] = [
  ['1', 'in-pdu', false, false, [], false, false],
  ['2', 'in-pdu', false, false, [], false, false],
  ['3', 'hash-base64', false, false, [], false, false],
  ['4', 'hash-base64url', false, false, [], false, false],
  ['5', 'hash-base64url', false, true, [], false, false],
  ['6', 'hash-base64url', true, true, [], false, false],
  ['7', 'hash-base64url', true, true, ['knock'], false, false],
  ['8', 'hash-base64url', true, true, ['knock'], false, true],
  ['9', 'hash-base64url', true, true, ['knock'], false, true],
  ['10', 'hash-base64url', true, true, ['knock', 'knock_restricted'], false, true],
  ['11', 'hash-base64url', true, true, ['knock', 'knock_restricted'], false, true],
  ['12', 'hash-base64url', true, true, ['knock', 'knock_restricted'], true, true],
]

describe('room versions', () => {
  it('are those of the specification, and no others', () => {
    expect(ROOM_VERSIONS).toEqual(TABLE.map(([id]) => id))
  })

  it.each(TABLE)(
    'version %s has the capabilities of the table',
    (id, eventId, json, keys, joinRules, hashRoom, via) => {
      expect(version(id)).toMatchObject({
        id,
        eventId,
        strictCanonicalJson: json,
        enforceKeyValidity: keys,
        knockJoinRules: joinRules,
        hashRoomId: hashRoom,
        authorisingUserSignature: via,
      })
    },
  )

  it.each([
    ['6', undefined, 4, 3, 2, undefined],
    ['7', '4.6', 4, 3, 2, undefined],
    ['8', '4.7', 4, 3, 2, undefined],
    ['9', '4.7', 4, 3, 2, undefined],
    ['10', '4.7', 4, 3, 2, undefined],
    ['11', '4.7', 4, 3, 2, undefined],
    ['12', '5.7', 5, 4, 3, 2],
  ])(
    'version %s numbers its rule for knocks %s',
    (id, knockRule, memberRule, federateRule, authEventsRule, roomIdRule) => {
      expect(version(id)).toMatchObject({ knockRule, memberRule, federateRule, authEventsRule, roomIdRule })
    },
  )

  it('exactly the versions with a join rule for knocks have a rule for knocks', () => {
    for (const id of ROOM_VERSIONS) {
      expect(version(id).knockRule !== undefined).toBe(version(id).knockJoinRules.length > 0)
    }
  })

  it.each([...REDACTION_TABLES])('version %s protects from redaction what its page lists', (id, table) => {
    const { redaction } = version(id)
    expect([...redaction.topLevel].sort()).toEqual([...table.top].sort())
    expect(redaction.keepsThirdPartyInviteSigned).toBe(table.keepsSignedInvite)
    expect(Object.keys(redaction.content).sort()).toEqual([...table.content.keys()].sort())
    for (const [type, keys] of table.content) {
      const kept = redaction.content[type]
      expect(Array.isArray(kept) ? [...kept].sort() : kept).toEqual(keys === 'all' ? 'all' : [...keys].sort())
    }
  })

  it.each(['0', '13', '', ' 7', '07', '7.0', 'constructor', '__proto__', 'org.matrix.msc3757.10'])(
    'does not know %j',
    (id) => {
      expect(roomVersion(id)).toBeUndefined()
    },
  )

  it('cannot be changed by accident', () => {
    expect(Object.isFrozen(version('10'))).toBe(true)
  })
})
