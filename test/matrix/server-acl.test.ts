import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseServerName, type ServerName } from '../../src/matrix/identifiers.ts'
import { compileServerAcl, globMatches } from '../../src/matrix/server-acl.ts'
import type { OracleJson, OracleObject } from '../oracle/json-value.ts'
import { oracleAclAllows, oracleGlobMatches } from '../oracle/server-acl.ts'
import { glob, json, serverName } from './arbitraries.ts'
import { bare, vectors } from './given.ts'

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

  it('is quick on hostile patterns', () => {
    const hostile = `${'*a'.repeat(2_000)}b`
    expect(allows({ allow: [hostile] }, 'a'.repeat(255))).toBe(false)
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
        expect(allows(given, server)).toBe(oracleAclAllows(given, server))
      }),
      { numRuns: 600 },
    )
  })

  it('globs agree with the reference', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 8 })
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '?'), maxLength: 7 })
    fc.assert(
      fc.property(pattern, letters, (given, subject) => {
        expect(globMatches(given, subject)).toBe(oracleGlobMatches(given, subject))
      }),
      { numRuns: 1_000 },
    )
  })
})
