import { afterEach, describe, expect, it } from 'vitest'
import { exchange } from '../support/http-client.ts'
import { type Listener, openListener } from './listener-fixture.ts'

let listener: Listener
afterEach(() => listener?.close())

const MAKE = '/_matrix/federation/v1/make_knock/!r:resident.example/@k:remote.example'
const limited = { addressLimit: { perSecond: 1, burst: 3 }, trustProxy: ['127.0.0.0/8', '10.0.0.0/8'] }

/** Statuses of some requests, one after the other. */
async function statuses(count: number, forwardedFor: string | undefined, remoteAddress = '127.0.0.1', url = MAKE) {
  const found: number[] = []
  for (let at = 0; at < count; at++) {
    const headers = forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor }
    found.push((await listener.app.inject({ method: 'GET', url, headers, remoteAddress })).statusCode)
  }
  return found
}

describe('the limit per address', () => {
  it('A6 answers 429 M_LIMIT_EXCEEDED with Retry-After, to that address alone', async () => {
    listener = await openListener(limited)
    expect(await statuses(4, '198.51.100.7')).toEqual([401, 401, 401, 429])
    const headers = { 'x-forwarded-for': '198.51.100.7' }
    const answer = await listener.app.inject({ method: 'GET', url: MAKE, headers, remoteAddress: '127.0.0.1' })
    expect(answer.json()).toEqual({ errcode: 'M_LIMIT_EXCEEDED', error: expect.any(String) })
    expect(answer.headers['content-type']).toMatch(/^application\/json/)
    expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1)
    expect(Number(answer.headers['retry-after'])).toBeLessThanOrEqual(3)
    expect(await statuses(1, '198.51.100.8')).toEqual([401])
  })

  it('A6 counts nobody whose address no trusted proxy reports', async () => {
    listener = await openListener(limited)
    expect(new Set(await statuses(10, undefined))).toEqual(new Set([401]))
    expect(new Set(await statuses(10, '198.51.100.7', '192.0.2.1'))).toEqual(new Set([401]))
    await listener.close()
    listener = await openListener({ ...limited, trustProxy: [] })
    expect(new Set(await statuses(10, '198.51.100.7'))).toEqual(new Set([401]))
  })

  it('A6 believes only what trusted proxies added', async () => {
    listener = await openListener(limited)
    expect(await statuses(3, '203.0.113.1, 198.51.100.7, 10.0.0.1')).toEqual([401, 401, 401])
    expect(await statuses(1, '203.0.113.2, 198.51.100.7, 10.0.0.1')).toEqual([429])
  })

  it('A6 counts the addresses of one IPv6 subscriber together', async () => {
    listener = await openListener(limited)
    expect(await statuses(3, '2001:db8:0:1::1')).toEqual([401, 401, 401])
    expect(await statuses(1, '2001:db8:0:1:ffff::2')).toEqual([429])
    expect(await statuses(1, '2001:db8:0:2::1')).toEqual([401])
  })

  it.each([
    ['a port', ['198.51.100.7', '198.51.100.7:1', '198.51.100.7:50000', '198.51.100.7:']],
    ['quotes', ['198.51.100.7', '"198.51.100.7"', '"198.51.100.7:50000"', ' 198.51.100.7 ']],
    ['IPv4 inside IPv6', ['198.51.100.7', '::ffff:198.51.100.7', '[::FFFF:c633:6407]:9', '"[::ffff:198.51.100.7]"']],
    ['brackets', ['2001:db8::1', '[2001:db8::1]', '[2001:db8::1]:443', '"[2001:DB8:0::1]:443"']],
    ['a zone', ['fe80::1', 'fe80::1%eth0', '[fe80::1%eth1]', '[fe80::1%25eth0]:80']],
    ['words', ['unknown', '_hidden', '_SEVKISEK', 'junk"']],
    ['broken forms', ['[2001:db8::1', '198.51.100.7:x', '1.2.3', '[]:80']],
    [
      'what the client wrote before',
      ['198.51.100.7:1', 'x, 198.51.100.7:2', '_a, "b, 198.51.100.7', ',,198.51.100.7:3'],
    ],
    [
      'ports of the proxies',
      [
        '198.51.100.7, 10.0.0.1:4000',
        '198.51.100.7:1, "10.0.0.1:4001"',
        '9.9.9.9, 198.51.100.7:2, [::ffff:10.0.0.2]:3',
        '198.51.100.7, 10.0.0.3',
      ],
    ],
  ])('A6 counts an address once, whatever else is written: %s', async (_, spellings) => {
    listener = await openListener(limited)
    const found: number[] = []
    for (const spelling of spellings) found.push(...(await statuses(1, spelling)))
    expect(found).toEqual([401, 401, 401, 429])
    expect(await statuses(1, '203.0.113.9')).toEqual([401])
    expect(listener.failures).toEqual([])
  })

  it('A6 reads several lines as one list, and no more of it than proxies write', async () => {
    listener = await openListener(limited)
    const port = await listener.listen()
    const ask = async (lines: readonly string[]) => {
      const headers = lines.flatMap((line) => ['x-forwarded-for', line])
      return (await exchange(port, { method: 'GET', path: MAKE, headers })).status
    }
    const found: number[] = []
    for (const [at, last] of [
      '198.51.100.7:1',
      '198.51.100.7:2',
      '"198.51.100.7"',
      '[::ffff:198.51.100.7]',
    ].entries()) {
      found.push(await ask([`203.0.113.${at}`, last]))
    }
    expect(found).toEqual([401, 401, 401, 429])
    expect(await ask([`${'1,'.repeat(5_000)}203.0.113.9`])).toBe(401)
  })

  it('A6 tells the observer', async () => {
    listener = await openListener(limited)
    await statuses(4, '198.51.100.7')
    expect(listener.answered.at(-1)).toMatchObject({ status: 429, errcode: 'M_LIMIT_EXCEEDED', route: 'make_knock' })
    expect(listener.failures).toEqual([])
  })
})
