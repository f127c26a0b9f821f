import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type AppservicePorts, createAppserviceServer } from '../../src/http/appservice-server.ts'
import { type Answer, exchange, exchangeBytes } from '../support/http-client.ts'

const TOKEN = 'hs-token-of-the-registration'
const PATH = '/_matrix/app/v1/transactions/1'
const MEGABYTE = 1024 * 1024

let server: Server | undefined
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
})

interface World {
  readonly port: number
  readonly taken: unknown[]
  readonly refused: string[]
  readonly missed: string[]
  readonly failures: unknown[]
  put(body: string | Uint8Array, changes?: { path?: string; headers?: readonly string[] }): Promise<Answer>
}

async function listen(take?: AppservicePorts['take']): Promise<World> {
  const taken: unknown[] = []
  const refused: string[] = []
  const missed: string[] = []
  const failures: unknown[] = []
  server = createAppserviceServer({
    hsToken: TOKEN,
    take: take ?? ((events) => void taken.push(...events)),
    refused: (reason) => void refused.push(reason),
    missed: (reason) => void missed.push(reason),
    failed: (error) => void failures.push(error),
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  return {
    ...{ port, taken, refused, missed, failures },
    put: (body, { path = PATH, headers = ['authorization', `Bearer ${TOKEN}`] } = {}) =>
      exchange(port, { method: 'PUT', path, headers, body }),
  }
}

const ok = { status: 200, text: '{}' }
const error = (status: number, errcode: string) => ({ status, body: { errcode, error: expect.any(String) } })
const one = JSON.stringify({ events: [{ event_id: '$1' }] })

describe('the listener for the homeserver', () => {
  it('takes the events of a transaction, and says so when they are taken', async () => {
    const { put, taken } = await listen()
    expect(await put(JSON.stringify({ events: [{ a: 1 }, { b: 2 }], ephemeral: [] }))).toMatchObject(ok)
    expect(taken).toEqual([{ a: 1 }, { b: 2 }])
    expect(await put('{"events":[]}')).toMatchObject(ok)
  })

  it('takes it at the path of old homeservers too', async () => {
    const { put, taken } = await listen()
    expect(await put(one, { path: '/transactions/7' })).toMatchObject(ok)
    expect(taken).toHaveLength(1)
  })

  it.each<[string, readonly string[], string]>([
    ['nothing', [], PATH],
    ['another token', ['authorization', 'Bearer another'], PATH],
    ['a longer token', ['authorization', `Bearer ${TOKEN}x`], PATH],
    ['a part of it', ['authorization', `Bearer ${TOKEN.slice(1)}`], PATH],
    ['an empty token', ['authorization', 'Bearer '], PATH],
    ['another scheme', ['authorization', `Basic ${TOKEN}`], PATH],
    ['the token without a scheme', ['authorization', TOKEN], PATH],
    ['another token in the query', [], `${PATH}?access_token=another`],
    ['an empty token in the query', [], `${PATH}?access_token=`],
    [
      'the token in the query and another in the header',
      ['authorization', 'Bearer b'],
      `${PATH}?access_token=${TOKEN}`,
    ],
    ['the token in the header and another in the query', bearer(), `${PATH}?access_token=b`],
    ['the token and another in the query', [], `${PATH}?access_token=${TOKEN}&access_token=b`],
    ['the token in the query and no bearer in the header', ['authorization', 'x'], `${PATH}?access_token=${TOKEN}`],
  ])('H1 is 403 M_FORBIDDEN to %s, and takes nothing', async (_what, headers, path) => {
    const { put, taken, refused } = await listen()
    expect(await put(one, { path, headers })).toMatchObject(error(403, 'M_FORBIDDEN'))
    expect(taken).toEqual([])
    expect(refused).toEqual(['a request to the application service had a wrong hs_token'])
  })

  it.each<[string, readonly string[], string]>([
    ['in the header', bearer(), PATH],
    ['in the query', [], `${PATH}?access_token=${TOKEN}`],
    ['in both', bearer(), `${PATH}?user_id=x&access_token=${TOKEN}`],
    ['with a scheme in small letters', ['authorization', `bearer ${TOKEN}`], PATH],
  ])('H1 knows the token %s', async (_what, headers, path) => {
    const { put, taken } = await listen()
    expect(await put(one, { path, headers })).toMatchObject(ok)
    expect(taken).toHaveLength(1)
  })

  it('never shows the token', async () => {
    const { put, refused } = await listen()
    const answer = await put(one, { headers: ['authorization', 'Bearer another'] })
    expect(answer.text + refused.join()).not.toContain(TOKEN)
    expect(answer.text + refused.join()).not.toContain('another')
  })

  it.each([
    ['no JSON', 'M_NOT_JSON', '{"events": ['],
    ['nothing', 'M_NOT_JSON', ''],
    ['a list', 'M_BAD_JSON', '[]'],
    ['no events', 'M_BAD_JSON', '{}'],
    ['events that are no list', 'M_BAD_JSON', '{"events": {}}'],
  ])('is 400 to a transaction that has %s, takes none of it, and tells the operator', async (_what, errcode, body) => {
    const { put, taken, missed } = await listen()
    expect(await put(body)).toMatchObject(error(400, errcode))
    expect(taken).toEqual([])
    expect(missed).toEqual([expect.stringContaining('a transaction that cannot be read')])
  })

  it('takes what clients may write and signed JSON may not: fractions, repeated keys, lone surrogates', async () => {
    const { put, taken } = await listen()
    expect(await put('{"events":[{"content":{"a":1.5,"b":1e400,"b":"\\ud800"}}]}')).toMatchObject(ok)
    expect(taken).toEqual([{ content: { a: 1.5, b: '\ud800' } }])
  })

  it('takes a transaction of seven megabytes', async () => {
    const { put, taken } = await listen()
    const events = Array.from({ length: 112 }, (_, at) => ({
      event_id: `$${at}`,
      content: { body: 'x'.repeat(65_000) },
    }))
    expect(await put(JSON.stringify({ events }))).toMatchObject(ok)
    expect(taken).toHaveLength(112)
  })

  it('passes over one of ten megabytes, which would else come for ever, and tells the operator', async () => {
    const { put, taken, missed } = await listen()
    const events = [{ event_id: '$large', content: { body: 'x'.repeat(10 * MEGABYTE) } }]
    expect(await put(JSON.stringify({ events }))).toMatchObject(ok)
    expect(taken).toEqual([])
    expect(missed).toEqual(['a transaction of the homeserver is longer than 8388608 bytes: it is passed over'])
    expect(await put(one)).toMatchObject(ok)
    expect(taken).toEqual([{ event_id: '$1' }])
  })

  it('reads no body of those who do not know the token', async () => {
    const { put, taken } = await listen()
    const answer = await put(Buffer.alloc(MEGABYTE, 0x20), { headers: ['authorization', 'Bearer b'] })
    expect(answer).toMatchObject(error(403, 'M_FORBIDDEN'))
    expect(taken).toEqual([])
  })

  it('takes nothing of a transaction that breaks off', async () => {
    const { port, taken, missed } = await listen()
    const head = `PUT ${PATH} HTTP/1.0\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Length: 1000\r\n\r\n`
    const socket = exchangeBytes(port, `${head}${one}`)
    await expect.poll(() => connections()).toBe(1)
    server?.closeAllConnections()
    await socket
    expect(taken).toEqual([])
    expect(missed).toEqual([])
  })

  it('is 500 where events cannot be taken, without saying why: the homeserver sends them again', async () => {
    const { put, failures } = await listen(() => {
      throw new Error('secret')
    })
    const answer = await put(one)
    expect(answer).toMatchObject(error(500, 'M_UNKNOWN'))
    expect(answer.text).not.toContain('secret')
    expect(String(failures)).toContain('secret')
  })

  it('answers pings, and knows no users and no aliases', async () => {
    const { port } = await listen()
    const ask = (method: string, path: string, headers = bearer()) =>
      exchange(port, { method, path, headers, ...(method === 'POST' && { body: '{"transaction_id":"x"}' }) })
    expect(await ask('POST', '/_matrix/app/v1/ping')).toMatchObject(ok)
    expect(await ask('POST', '/_matrix/app/v1/ping', [])).toMatchObject(error(403, 'M_FORBIDDEN'))
    expect(await ask('GET', '/_matrix/app/v1/users/%40a%3Ab')).toMatchObject(error(404, 'M_NOT_FOUND'))
    expect(await ask('GET', '/_matrix/app/v1/rooms/%23a%3Ab')).toMatchObject(error(404, 'M_NOT_FOUND'))
    expect(await ask('GET', '/_matrix/app/v1/rooms/%23a%3Ab', [])).toMatchObject(error(403, 'M_FORBIDDEN'))
  })

  it('A1 A2 A3 everything else is an error in Matrix shape', async () => {
    const { port } = await listen()
    for (const [method, path, status] of [
      ['GET', '/', 404],
      ['PUT', '/_matrix/app/v1/transactions', 404],
      ['PUT', '/_matrix/app/v1/transactions/1/2', 404],
      ['GET', '/_matrix/app/v1/thirdparty/protocol/irc', 404],
      ['PUT', '/_matrix/federation/v1/send/1', 404],
      ['GET', PATH, 405],
      ['POST', PATH, 405],
      ['GET', '/_matrix/app/v1/ping', 405],
      ['PUT', '/_matrix/app/v1/users/%40a%3Ab', 405],
    ] as const) {
      expect([path, await exchange(port, { method, path, headers: bearer() })]).toMatchObject([
        path,
        error(status, 'M_UNRECOGNIZED'),
      ])
    }
  })
})

function bearer(): readonly string[] {
  return ['authorization', `Bearer ${TOKEN}`]
}

function connections(): Promise<number> {
  return new Promise((resolve, reject) => {
    server?.getConnections((failure, count) => (failure === null ? resolve(count) : reject(failure)))
  })
}
