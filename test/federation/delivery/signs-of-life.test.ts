import { describe, expect, it } from 'vitest'
import { createSignsOfLife } from '../../../src/federation/delivery/signs-of-life.ts'
import type { ServerName } from '../../../src/matrix/identifiers.ts'

const name = (at: number) => `s${at}.test` as ServerName

describe('signs of life', () => {
  it('are taken once, and the first of them is told', () => {
    const signs = createSignsOfLife()
    expect([signs.note(name(1)), signs.note(name(2)), signs.note(name(1))]).toEqual([true, false, false])
    expect(signs.take()).toEqual(['s1.test', 's2.test'])
    expect(signs.take()).toEqual([])
    expect([signs.note(name(1)), signs.note(name(3))]).toEqual([false, true])
    expect(signs.take()).toEqual(['s3.test'])
  })

  it('of more servers than are taken at a time count when they come again', () => {
    const signs = createSignsOfLife()
    for (let at = 0; at < 2_000; at++) signs.note(name(at))
    const taken = signs.take()
    expect(taken).toHaveLength(500)
    signs.note(name(1_999))
    expect(signs.take()).toEqual(['s1999.test'])
  })
})
