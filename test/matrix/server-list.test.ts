import { describe, expect, it } from 'vitest'
import type { ServerName } from '../../src/matrix/identifiers.ts'
import { compileServerList } from '../../src/matrix/server-list.ts'
import { canonicalHost } from '../../src/matrix/server-spellings.ts'

function has(entries: readonly string[], server: string): boolean {
  return compileServerList(entries).has(server as ServerName)
}

describe('a list of servers', () => {
  it.each([
    'evil.example',
    'evil.example:8448',
    'evil.example:1',
    'EVIL.example',
    'evil.example.',
    'evil.example..:80',
  ])('means every port and spelling by an entry without a port: %s', (server) => {
    expect(has(['evil.example'], server)).toBe(true)
    expect(has(['Evil.Example.'], server)).toBe(true)
    expect(has(['evil.*'], server)).toBe(true)
    expect(has(['good.example', '*.good.example'], server)).toBe(false)
  })

  it.each([
    ['evil.example:8448', 'evil.example:8448', true],
    ['evil.example:8448', 'evil.example:08448', true],
    ['evil.example:08448', 'evil.example:8448', true],
    ['evil.example:8448', 'EVIL.example.:8448', true],
    ['evil.example:8448', 'evil.example:8449', false],
    ['evil.example:8448', 'evil.example', false],
    ['evil.example:*', 'evil.example:1', true],
    ['evil.example:*', 'evil.example', false],
    ['*:8448', 'evil.example:8448', true],
    ['*:8448', 'evil.example:80', false],
    ['*:84?8', 'evil.example:8448', true],
    ['[::1]:8448', '[0:0:0:0:0:0:0:1]:8448', true],
    ['[::1]:8448', '[::1]', false],
    ['*:8*', '[2001:db8:8::1]:443', false],
    ['*:8*', '[2001:db8:8::1]', false],
  ])('means the whole name by an entry with a port: %s on %s', (entry, server, expected) => {
    expect(has([entry], server)).toBe(expected)
  })

  it.each(['[::1]', '[0:0:0:0:0:0:0:1]', '[0000::0001]', '[::1]:8448'])(
    'knows every form of an address: %s',
    (server) => {
      for (const entry of ['[::1]', '[0:0:0:0:0:0:0:1]', '[0::1]', '[::?]', '[*]'])
        expect(has([entry], server)).toBe(true)
      expect(has(['[::2]'], server)).toBe(false)
    },
  )

  it.each(['1.2.3.4', '[::ffff:1.2.3.4]', '[::FFFF:102:304]', '[0:0:0:0:0:ffff:1.2.3.4]:80'])(
    'knows an IPv4 address inside IPv6: %s',
    (server) => {
      for (const entry of ['1.2.3.4', '[::ffff:1.2.3.4]', '[::ffff:0102:0304]', '1.2.*']) {
        expect(has([entry], server)).toBe(true)
      }
    },
  )

  it('says the same for the limits', () => {
    const same = ['evil.example', 'EVIL.example.', 'evil.example:8448', 'evil.example.:08448']
    expect(new Set(same.map((name) => canonicalHost(name as ServerName)))).toEqual(new Set(['evil.example']))
    const address = ['[::ffff:1.2.3.4]:80', '1.2.3.4', '[::ffff:102:304]']
    expect(new Set(address.map((name) => canonicalHost(name as ServerName)))).toEqual(new Set(['1.2.3.4']))
  })
})
