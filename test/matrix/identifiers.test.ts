import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  isRoomVersionId,
  parseEventId,
  parseKeyId,
  parseRoomId,
  parseServerName,
  parseUserId,
  serverNameOf,
  splitServerName,
} from '../../src/matrix/identifiers.ts'
import { serverName } from './arbitraries.ts'

const HASH = 'A'.repeat(41)

describe('server names', () => {
  it.each([
    ['example.org', 'example.org', undefined, undefined],
    ['example.org:8448', 'example.org', 8448, undefined],
    ['EXAMPLE.org', 'EXAMPLE.org', undefined, undefined],
    ['a', 'a', undefined, undefined],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example', undefined, undefined],
    ['1.2.3.4', '1.2.3.4', undefined, 4],
    ['1.2.3.4:80', '1.2.3.4', 80, 4],
    ['1.2.3.4.example', '1.2.3.4.example', undefined, undefined],
    ['[::1]', '::1', undefined, 6],
    ['[2001:db8::7]:65535', '2001:db8::7', 65535, 6],
    ['[::ffff:1.2.3.4]', '::ffff:1.2.3.4', undefined, 6],
    ['host:0', 'host', 0, undefined],
    ['host:00080', 'host', 80, undefined],
  ])('takes %s apart', (name, host, port, literal) => {
    expect(splitServerName(name)).toEqual({ host, port, literal })
    expect(parseServerName(name)).toBe(name)
  })

  it.each([
    '',
    ':8448',
    'host:',
    'host:x',
    'host:123456',
    'host:65536',
    'host:80:80',
    'host:-1',
    'ho st',
    'host ',
    'host_name',
    'host/path',
    'user@host',
    'hôst',
    'host\n',
    '[::1',
    '::1',
    '[]',
    '[::1]x',
    '[::1]8448',
    '[::1]:',
    '[fe80::1%eth0]',
    '[1.2.3.4]',
    '[gggg::]',
    '[:]',
    '1.2.3',
    '1.2.3.256',
    '999.1.1.1',
    '127.1',
    '0',
    'a'.repeat(256),
  ])('refuses %j', (name) => {
    expect(parseServerName(name)).toBeUndefined()
  })

  it('counts the port and takes 255 characters in all', () => {
    expect(parseServerName('a'.repeat(255))).toBeDefined()
    expect(parseServerName(`${'a'.repeat(250)}:8448`)).toBeDefined()
    expect(parseServerName(`${'a'.repeat(251)}:8448`)).toBeUndefined()
  })

  it('accepts every generated name', () => {
    fc.assert(
      fc.property(serverName, (name) => {
        expect(parseServerName(name)).toBe(name)
      }),
    )
  })
})

describe('user ids', () => {
  it.each([
    '@alice:example.org',
    '@:example.org',
    '@Alice:example.org:8448',
    '@a/b+c=d_e.f-g:[::1]:8448',
    '@\u0001 é\u{1f600}:example.org',
    '@line\nbreak:example.org',
  ])('reads %j', (text) => {
    expect(parseUserId(text)).toBe(text)
  })

  it.each([
    '',
    '@',
    'alice:example.org',
    '@alice',
    '@alice:',
    '@alice:exa mple',
    '#alice:example.org',
    '@a\0b:example.org',
    '@a\ud800b:example.org',
    ' @alice:example.org',
    '@alice:example.org ',
    '@a:b:c',
    `@${'a'.repeat(251)}:a.b`,
    `@${'é'.repeat(126)}:a.b`,
  ])('refuses %j', (text) => {
    expect(parseUserId(text)).toBeUndefined()
  })

  it('counts 255 bytes of UTF-8', () => {
    expect(parseUserId(`@${'a'.repeat(250)}:a.b`)).toBeDefined()
    expect(parseUserId(`@${'é'.repeat(125)}:a.b`)).toBeDefined()
    expect(parseUserId(`@${'é'.repeat(125)}a:a.b`)).toBeUndefined()
  })

  it('belong to the server after the first colon', () => {
    const user = parseUserId('@a:example.org:8448')
    expect(user && serverNameOf(user)).toBe('example.org:8448')
  })
})

describe('room ids', () => {
  it.each(['!room:example.org', '!:example.org', '!r oom\u{1f600}:example.org:1', `!${HASH}-_`])('reads %j', (text) => {
    expect(parseRoomId(text)).toBe(text)
  })

  it.each([
    '',
    '!',
    'room:example.org',
    '!room',
    '!room:',
    '!room:b:c',
    '!a\0:b',
    `!${HASH}`,
    `!${HASH}-_-`,
    `!${HASH}+/`,
    `!${HASH}==`,
    `!${'a'.repeat(252)}:a.b`,
  ])('refuses %j', (text) => {
    expect(parseRoomId(text)).toBeUndefined()
  })
})

describe('event ids', () => {
  it.each([`$${HASH}-_`, `$${HASH}+/`, `$${HASH}AA`])('reads %j', (text) => {
    expect(parseEventId(text)).toBe(text)
  })

  it.each(['', '$', '$event:example.org', `$${HASH}`, `$${HASH}AAA`, `$${HASH}-/`, `!${HASH}AA`, `$${HASH}A=`])(
    'refuses %j',
    (text) => {
      expect(parseEventId(text)).toBeUndefined()
    },
  )
})

describe('key ids and room version names', () => {
  it.each(['ed25519:1', 'ed25519:a_1', 'ed25519:policy_server', 'x1:Z'])('reads the key id %j', (text) => {
    expect(parseKeyId(text)).toBe(text)
  })

  it.each([
    '',
    'ed25519',
    'ed25519:',
    ':1',
    'ed25519:a-1',
    'ED25519:1',
    'ed25519:a:b',
    'ed25519:é',
    `ed25519:${'a'.repeat(248)}`,
  ])('refuses the key id %j', (text) => {
    expect(parseKeyId(text)).toBeUndefined()
  })

  it.each([
    ['1', true],
    ['org.matrix.msc3757.10', true],
    ['a-b', true],
    ['a'.repeat(32), true],
    ['a'.repeat(33), false],
    ['', false],
    ['V1', false],
    ['1 ', false],
    ['é', false],
  ])('the room version name %j: %j', (text, expected) => {
    expect(isRoomVersionId(text)).toBe(expected)
  })
})

describe('identifiers, for any text', () => {
  const parsers = [parseServerName, parseUserId, parseRoomId, parseEventId, parseKeyId]
  const anything = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom(...'@!$#:[]. aé1\0\ud800', 'a.b', ':8448', '::1') }),
  )

  it('are given back unchanged or refused, and never throw', () => {
    fc.assert(
      fc.property(anything, (text) => {
        for (const parse of parsers) expect([text, undefined]).toContain(parse(text))
      }),
      { numRuns: 400 },
    )
  })

  it('of every parsed user have a server name', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), serverName, (localpart, server) => {
        const user = parseUserId(`@${localpart}:${server}`)
        if (user !== undefined) expect(parseServerName(serverNameOf(user))).toBe(server)
      }),
    )
  })
})
