import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseServerName, type ServerName, splitServerName } from '../../src/matrix/identifiers.ts'
import { compileServerAcl } from '../../src/matrix/server-acl.ts'
import type { OracleJson, OracleObject } from '../oracle/json-value.ts'
import { oracleAclAllows } from '../oracle/server-acl.ts'
import { glob, json, serverName } from './arbitraries.ts'
import { bare, vectors } from './given.ts'

function isCanonical(server: string): boolean {
  const parts = splitServerName(server)
  return parts?.literal !== 6 && !server.replace(/:\d+$/, '').endsWith('.')
}

function allows(content: OracleObject, server: string): boolean {
  return compileServerAcl(bare(content)).allows(server as ServerName)
}

describe('server ACL', () => {
  interface AclVectors {
    readonly servers: readonly string[]
    readonly acls: readonly {
      readonly name: string
      readonly content: OracleObject
      readonly allowed: readonly string[]
    }[]
  }
  const { servers, acls } = vectors<AclVectors>('synapse-server-acl.json')
  // Digits and dots that are no address are no server name here, so nobody can ask under them.
  const askable = servers.filter((server) => parseServerName(server) !== undefined)

  it('asks about all servers of the vectors but those whose names are not accepted', () => {
    expect(servers.filter((server) => !askable.includes(server))).toEqual(['999.1.1.1', '1.2.3'])
  })

  it.each(acls)('agrees with a second implementation: $name', ({ content, allowed }) => {
    expect(askable.filter((server) => allows(content, server))).toEqual(
      askable.filter((server) => allowed.includes(server)),
    )
    expect(askable.filter((server) => oracleAclAllows(content, server))).toEqual(
      askable.filter((server) => allowed.includes(server)),
    )
  })

  it.each(['evil.example', 'evil.example:8448', 'evil.example:1', 'EVIL.example', 'Evil.Example:8448'])(
    'takes no notice of port and case: %s',
    (server) => {
      expect(allows({ allow: ['*'], deny: ['evil.example'] }, server)).toBe(false)
      expect(allows({ allow: ['*'], deny: ['EVIL.EXAMPLE'] }, server)).toBe(false)
      expect(allows({ allow: ['evil.example'] }, server)).toBe(true)
    },
  )

  it('does not compare the port with the pattern', () => {
    expect(allows({ allow: ['*'], deny: ['evil.example:8448'] }, 'evil.example:8448')).toBe(true)
    expect(allows({ allow: ['*:8448'] }, 'good.example:8448')).toBe(false)
    expect(allows({ allow: ['*'], deny: ['[::1]'] }, '[::1]:8448')).toBe(false)
    expect(allows({ allow: ['*'], deny: ['::1'] }, '[::1]:8448')).toBe(true)
  })

  it.each(['1.2.3.4', '1.2.3.4:8448', '[::1]', '[::1]:8448'])(
    'denies the literal %s only on boolean false',
    (server) => {
      expect(allows({ allow: ['*'], allow_ip_literals: false }, server)).toBe(false)
      for (const other of [true, 'false', 0, null, {}]) {
        expect(allows({ allow: ['*'], allow_ip_literals: other }, server)).toBe(true)
      }
      expect(allows({ allow: ['*'] }, server)).toBe(true)
    },
  )

  it('denies everyone where the lists are gone, as redaction leaves them', () => {
    expect(allows({}, 'good.example')).toBe(false)
    expect(allows({ allow: '*' }, 'good.example')).toBe(false)
    expect(allows({ allow: { 0: '*' } }, 'good.example')).toBe(false)
    expect(allows({ deny: [] }, 'good.example')).toBe(false)
  })

  it('lets deny win over allow, in any order of the lists', () => {
    expect(allows({ allow: ['a.example', '*'], deny: ['b.example', '*.example'] }, 'a.example')).toBe(false)
  })

  it('does not take a pattern for a regular expression', () => {
    expect(allows({ allow: ['*'], deny: ['evil.example'] }, 'evilXexample')).toBe(true)
    expect(allows({ allow: ['.*'] }, 'good.example')).toBe(false)
    expect(allows({ allow: ['(good.example|x)'] }, 'good.example')).toBe(false)
  })

  it('answers the same when asked again, and for many servers', () => {
    const acl = compileServerAcl(bare({ allow: ['*.good.example'] }))
    for (let round = 0; round < 2; round++) {
      for (let number = 0; number < 300; number++) {
        expect(acl.allows(`s${number}.good.example` as ServerName)).toBe(true)
        expect(acl.allows(`s${number}.evil.example` as ServerName)).toBe(false)
      }
    }
  })

  it.each(['evil.example.', 'evil.example..', 'EVIL.example.:8448'])(
    'denies another spelling of a name: %s',
    (server) => {
      expect(allows({ allow: ['*'], deny: ['evil.example'] }, server)).toBe(false)
      expect(allows({ allow: ['*'], deny: ['*.example'] }, server)).toBe(false)
      expect(allows({ allow: ['*'], deny: ['*.'] }, server)).toBe(false)
      expect(allows({ allow: ['*'], deny: ['good.example'] }, server)).toBe(true)
    },
  )

  it('denies a name by an entry that is another spelling of it', () => {
    expect(allows({ allow: ['*'], deny: ['evil.example.'] }, 'evil.example')).toBe(false)
    expect(allows({ allow: ['*'], deny: ['*.'] }, 'evil.example')).toBe(true)
  })

  it.each(['[::1]', '[0:0:0:0:0:0:0:1]', '[0::0001]:80', '[::ffff:1.2.3.4]', '[::FFFF:102:304]', '1.2.3.4'])(
    'denies another form of an address: %s',
    (server) => {
      const deny = ['[::1]', '1.2.3.4']
      expect(allows({ allow: ['*'], deny }, server)).toBe(false)
      expect(allows({ allow: ['*'], deny: ['[0:0:0:0:0:0:0:1]', '[::ffff:102:304]'] }, server)).toBe(false)
      expect(allows({ allow: ['*'], deny: ['[::?]', '1.2.*'] }, server)).toBe(false)
      expect(allows({ allow: ['*'], deny: ['[::2]', '1.2.3.5'] }, server)).toBe(true)
    },
  )

  it('lets a name in only as the other servers of the room do: by the name as it was given', () => {
    expect(allows({ allow: ['good.example'] }, 'good.example.')).toBe(false)
    expect(allows({ allow: ['[::1]'] }, '[0:0:0:0:0:0:0:1]')).toBe(false)
    expect(allows({ allow: ['good.example.'] }, 'good.example.')).toBe(true)
  })

  it('is quick on hostile patterns', () => {
    const hostile = `${'*a'.repeat(2_000)}b`
    expect(allows({ allow: [hostile] }, 'a'.repeat(255))).toBe(false)
  })
})

describe('server ACL of hostile globs', () => {
  it.each([
    ['one long glob', [`${'*a'.repeat(32_000)}b`]],
    ['stars in many', Array.from({ length: 6_000 }, (_, number) => `*a*a*a*${number % 10}b`)],
    ['question marks in many', Array.from({ length: 4_000 }, () => '?*?*?*?*?*?b')],
    ['thousands of short ones', Array.from({ length: 10_000 }, (_, number) => `?a${number % 10}`)],
    ['beginnings', Array.from({ length: 600 }, (_, number) => `${'a'.repeat(number % 200)}${number}*`)],
    ['ends', Array.from({ length: 600 }, (_, number) => `*${number}${'e'.repeat(number % 200)}`)],
    ['names', Array.from({ length: 6_000 }, (_, number) => `a${number}.`)],
  ])('costs a new name about one pass of bits over the list: %s', (_, deny) => {
    const acl = compileServerAcl(bare({ allow: ['*'], deny }))
    const pass = leastTime(passOfBits)
    let number = 0
    const ask = () => acl.allows(`${'a'.repeat(230)}.example${number++}.` as ServerName)
    // A pass over 64 KB takes about a millisecond, and there are two spellings. One glob after the other took 50 to 80 ms.
    expect(leastTime(ask)).toBeLessThan(10 * pass)
  })
})

describe('server ACL, for any content', () => {
  const content: fc.Arbitrary<OracleObject> = fc
    .record(
      {
        allow: fc.oneof({ weight: 6, arbitrary: fc.array(glob) }, { weight: 1, arbitrary: json }),
        deny: fc.oneof(
          { weight: 6, arbitrary: fc.array(fc.oneof(glob, json), { maxLength: 3 }) },
          { weight: 1, arbitrary: json },
        ),
        allow_ip_literals: fc.oneof(fc.boolean(), json),
      },
      { requiredKeys: [] },
    )
    .map((given) => given as { [key: string]: OracleJson })

  it('agrees with the reference', () => {
    fc.assert(
      fc.property(content, serverName, (given, server) => {
        const expected = oracleAclAllows(given, server)
        // Another spelling of a server that is denied is denied too; whom the reference denies is never let in.
        if (isCanonical(server)) expect(allows(given, server)).toBe(expected)
        else expect(expected || !allows(given, server)).toBe(true)
      }),
      { numRuns: 600 },
    )
  })
})

/** What following 64 KB of globs through a text of 255 characters takes at least. */
function passOfBits(): number {
  const words = new Int32Array(2_048).fill(1)
  let sum = 0
  for (let step = 0; step < 255; step++) {
    for (let at = 0; at < words.length; at++) {
      const word = words[at] as number
      words[at] = ((word << 1) | 1) & 0xffff
      sum |= word
    }
  }
  return sum
}

function leastTime(work: () => unknown): number {
  const times = Array.from({ length: 25 }, () => {
    const start = performance.now()
    work()
    return performance.now() - start
  })
  // What others do on the machine only ever adds.
  return Math.min(...times)
}
