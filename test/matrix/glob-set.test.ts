import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileGlobs } from '../../src/matrix/glob-set.ts'
import { oracleGlobMatches } from '../oracle/server-acl.ts'

function matches(globs: readonly string[], text: string): boolean {
  return compileGlobs(globs).matches(text)
}

describe('a set of globs', () => {
  it.each([
    [[], '', false],
    [[''], '', true],
    [[''], 'a', false],
    [['*'], '', true],
    [['**'], 'anything', true],
    [['?'], 'a', true],
    [['?'], '', false],
    [['?'], '\u{1F600}', true],
    [['??'], '\u{1F600}', false],
    [['a?c'], 'a\u{1F600}c', true],
    [['evil.example'], 'evil.example', true],
    [['evil.example'], 'evilXexample', false],
    [['*.example'], '.example', true],
    [['*.example'], 'example', false],
    [['evil*'], 'evil', true],
    [['evil*'], 'devil', false],
    [['e*l'], 'el', true],
    [['e*l'], 'e', false],
    [['*a*'], 'bab', true],
    [['*a*', 'b?'], 'bb', true],
    // What one glob has reached is no beginning of the next.
    [['a?', 'b?'], 'ab?', false],
    [['*x', '?a'], 'xa', true],
    [['x?', '?a'], 'x?a', false],
  ] as const)('%j on %j: %s', (globs, text, expected) => {
    expect(matches(globs, text)).toBe(expected)
  })

  it('agrees with the reference, for any globs', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '.', '\u{1F600}'), maxLength: 8 })
    const glob = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '?', '\u{1F600}'), maxLength: 7 })
    fc.assert(
      fc.property(fc.array(glob, { maxLength: 40 }), text, (globs, subject) => {
        expect(matches(globs, subject)).toBe(globs.some((each) => oracleGlobMatches(each, subject)))
      }),
      { numRuns: 2_000 },
    )
  })

  it('agrees with the reference on globs longer than a word', () => {
    const long = fc.string({ unit: fc.constantFrom('a', 'a', 'a', 'b', '*', '?'), minLength: 28, maxLength: 70 })
    const cut = fc.tuple(long, fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 4 }))
    fc.assert(
      fc.property(fc.array(cut, { minLength: 1, maxLength: 5 }), (given) => {
        const globs = given.map(([glob, end]) => glob + end)
        for (const [glob, end] of given) {
          // Half of what is asked for matches: the wildcards filled in.
          const subject = glob.replaceAll('*', 'ab').replaceAll('?', 'b') + end.slice(0, 3)
          expect(matches(globs, subject)).toBe(globs.some((each) => linearGlobMatches(each, subject)))
        }
      }),
      { numRuns: 500 },
    )
  })
})

/** Reference for long globs, for which the plain one takes too long. */
function linearGlobMatches(glob: string, text: string): boolean {
  let reached = new Set([0])
  const stay = (places: Set<number>) => {
    for (const place of places) if (glob[place] === '*') places.add(place + 1)
    return places
  }
  for (const character of text) {
    const next = new Set<number>()
    for (const place of stay(reached)) {
      if (glob[place] === '*') next.add(place)
      else if (glob[place] === '?' || glob[place] === character) next.add(place + 1)
    }
    reached = next
  }
  return stay(reached).has(glob.length)
}
