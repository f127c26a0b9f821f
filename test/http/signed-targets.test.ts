import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { exchange, exchangeBytes } from '../support/http-client.ts'
import { knockEvent, makeKnockPath, sendKnockPath } from '../support/remote-knocker.ts'
import { authorization, createIdentity, type JsonRecord } from '../support/signing.ts'
import { type Listener, openListener } from './listener-fixture.ts'

let listener: Listener
afterEach(() => listener?.close())

interface SignedRequest {
  readonly method: string
  readonly uri: string
  readonly authorization: string
  readonly body?: string | null
  readonly content?: JsonRecord | null
}

function vectors(name: string): JsonRecord & { readonly [key: string]: never } {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}`, import.meta.url), 'utf8'))
}

const passed = (status: number): boolean => status !== 401

async function send(
  { method, uri, authorization: header }: SignedRequest,
  body: string | undefined,
): Promise<{ status: number; body: JsonRecord }> {
  const port = (listener.app.server.address() as { port: number }).port
  const request = { method, path: uri, headers: ['authorization', header], ...(body !== undefined && { body }) }
  return exchange(port, request)
}

describe('requests that others have signed', () => {
  const events = vectors('events.json') as unknown as { public_key: string; x_matrix: readonly SignedRequest[] }

  async function openForDomain(): Promise<void> {
    listener = await openListener({ residentName: 'resident.example' })
    const publicKey = new Uint8Array(Buffer.from(events.public_key, 'base64'))
    listener.keys.know({ ...createIdentity('domain', 'ed25519:1'), publicKey })
    await listener.listen()
  }

  it.each(events.x_matrix.map((request, at) => [at, request] as const))(
    'B1 header %i of the vectors verifies, B8 with its own content or none',
    async (_at, request) => {
      await openForDomain()
      const body = request.content == null ? undefined : JSON.stringify(request.content)
      expect(passed((await send(request, body)).status)).toBe(true)
    },
  )

  it('B2 each of the first two, with %21 and with !, verifies for its own target alone', async () => {
    await openForDomain()
    const [escaped, literal] = events.x_matrix
    if (escaped === undefined || literal === undefined) throw new Error('two vectors are wanted')
    expect((await send({ ...escaped, uri: literal.uri }, undefined)).status).toBe(401)
    expect((await send({ ...literal, uri: escaped.uri }, undefined)).status).toBe(401)
  })

  const captured = vectors('synapse-knock.json') as unknown as {
    requests: readonly SignedRequest[]
    server_keys: { verify_keys: Record<string, { key: string }>; valid_until_ts: number }
  }

  it.each(captured.requests.map((request) => [request.method, request] as const))(
    'B10 the captured %s of Synapse verifies at the time of its capture',
    async (_method, request) => {
      const { verify_keys: keys, valid_until_ts: validUntil } = captured.server_keys
      const now = validUntil - 3_600_000
      listener = await openListener({ residentName: '127.0.0.1:9473', clock: () => now })
      const [[keyId, { key }] = ['', { key: '' }]] = Object.entries(keys)
      const publicKey = new Uint8Array(Buffer.from(key, 'base64'))
      listener.keys.know({ ...createIdentity('hs.test', keyId), publicKey }, { validUntil })
      await listener.listen()
      const answer = await send(request, request.body ?? undefined)
      expect(answer).toMatchObject({ status: 404, body: { errcode: 'M_NOT_FOUND' } })
      const tampered = { ...request, uri: `${request.uri}?x` }
      expect((await send(tampered, request.body ?? undefined)).status).toBe(401)
    },
  )
})

describe('what a signature covers', () => {
  it('B2 a target in absolute form counts from its first slash', async () => {
    listener = await openListener()
    const { remote, resident, room, kim } = listener
    const uri = makeKnockPath(room.roomId, kim.id, '10')
    const header = authorization(remote, { method: 'GET', uri, destination: resident.name })
    for (const prefix of ['http://resident.example', 'https://user@other.example:8448', 'HTTP://x']) {
      const head = `GET ${prefix}${uri} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: ${header}\r\n\r\n`
      const port = (listener.app.server.address() as { port: number } | null)?.port ?? (await listener.listen())
      expect((await exchangeBytes(port, head)).status).toBe(200)
    }
  })

  it('B6 another method, target, order of the query or body than the signed one is 401', async () => {
    listener = await openListener()
    const { remote, resident, room, kim } = listener
    await listener.listen()
    const uri = makeKnockPath(room.roomId, kim.id, '10', '11')
    const signedFor = async (method: string, target: string): Promise<number> => {
      const header = authorization(remote, { method, uri: target, destination: resident.name })
      return (await send({ method: 'GET', uri, authorization: header }, undefined)).status
    }
    expect(await signedFor('GET', uri)).toBe(200)
    expect(await signedFor('PUT', uri)).toBe(401)
    expect(await signedFor('GET', makeKnockPath(room.roomId, kim.id, '11', '10'))).toBe(401)
    expect(await signedFor('GET', uri.replaceAll('%3A', ':'))).toBe(401)
    expect(await signedFor('GET', uri.replaceAll('%3A', '%3a'))).toBe(401)
  })

  it('B7 a body with other white space, escapes and order of keys still verifies, B6 another value does not', async () => {
    listener = await openListener()
    const { remote, resident, room, kim } = listener
    await listener.listen()
    const { eventId, pdu } = knockEvent(room, kim)
    const uri = sendKnockPath(room.roomId, eventId)
    const header = authorization(remote, { method: 'PUT', uri, destination: resident.name, content: pdu })
    const request = { method: 'PUT', uri, authorization: header }
    const reordered = Object.fromEntries(Object.entries(pdu).reverse())
    const escaped = JSON.stringify(pdu).replace('"knock"', '"\\u006bnock"')
    expect((await send(request, JSON.stringify(reordered, null, '\t'))).status).toBe(200)
    expect((await send(request, escaped)).status).toBe(200)
    expect((await send(request, JSON.stringify({ ...pdu, depth: 99 }))).status).toBe(401)
    expect((await send(request, '{}')).status).toBe(401)
  })

  it('B8 an empty object is signed as content, a GET without any', async () => {
    listener = await openListener()
    const { remote, resident, room, kim } = listener
    await listener.listen()
    const destination = resident.name
    const put = sendKnockPath(room.roomId, `$${'A'.repeat(43)}`)
    const withContent = authorization(remote, { method: 'PUT', uri: put, destination, content: {} })
    const without = authorization(remote, { method: 'PUT', uri: put, destination })
    expect((await send({ method: 'PUT', uri: put, authorization: withContent }, '{}')).status).toBe(400)
    expect((await send({ method: 'PUT', uri: put, authorization: without }, '{}')).status).toBe(401)
    const get = makeKnockPath(room.roomId, kim.id, '10')
    const odd = authorization(remote, { method: 'GET', uri: get, destination, content: {} })
    expect((await send({ method: 'GET', uri: get, authorization: odd }, undefined)).status).toBe(401)
    expect((await send({ method: 'GET', uri: get, authorization: odd }, '{}')).status).toBe(401)
  })

  it('B8 a body that comes with a GET is let be', async () => {
    listener = await openListener()
    const { remote, resident, room, kim } = listener
    await listener.listen()
    const uri = makeKnockPath(room.roomId, kim.id, '10')
    const header = authorization(remote, { method: 'GET', uri, destination: resident.name })
    expect((await send({ method: 'GET', uri, authorization: header }, 'no JSON')).status).toBe(200)
  })
})
