import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { KnockCalls } from '../../src/knock/knock-calls.ts'
import { compileServerAcl } from '../../src/matrix/server-acl.ts'
import { exchange, exchangeBytes } from '../support/http-client.ts'
import { knockEvent, sendKnockPath } from '../support/remote-knocker.ts'
import { authorization, canonical, type Json } from '../support/signing.ts'
import { type Listener, type ListenerChanges, openListener } from './listener-fixture.ts'

let listener: Listener
afterEach(() => listener?.close())

const SEND = `/_matrix/federation/v1/send_knock/!r:resident.example/$${'A'.repeat(43)}`
const errorOf = (errcode: string) => ({ errcode, error: expect.any(String) })

/** A text of JSON with white space after its first brace. */
const padded = (json: string, bytes: number) => `{${' '.repeat(bytes - Buffer.byteLength(json))}${json.slice(1)}`

/** A send_knock as it is signed for its body, with the body as text and further headers. */
async function put(
  content: Json,
  body: string | Buffer,
  headers: readonly string[] = [],
  path?: string,
  changes?: ListenerChanges,
) {
  listener = await openListener(changes)
  const target = path ?? SEND
  const toSign = { method: 'PUT', uri: target, destination: listener.resident.name, content }
  const signed = ['authorization', authorization(listener.remote, toSign)]
  return exchange(await listener.listen(), { method: 'PUT', path: target, headers: [...signed, ...headers], body })
}

describe('content types', () => {
  it.each([undefined, '', 'foo', 'a/b/c', 'text/plain', 'application/json; charset=utf-8', 'multipart/form-data'])(
    'A4 send_knock works with the type %s',
    async (type) => {
      listener = await openListener()
      const { resident, remote, room, kim } = listener
      const { eventId, pdu } = knockEvent(room, kim)
      const path = sendKnockPath(room.roomId, eventId)
      const toSign = { method: 'PUT', uri: path, destination: resident.name, content: pdu }
      const typed = type === undefined ? [] : ['content-type', type]
      const headers = ['authorization', authorization(remote, toSign), ...typed]
      const request = { method: 'PUT', path, headers, body: JSON.stringify(pdu) }
      const answer = await exchange(await listener.listen(), request)
      expect(answer.status).toBe(200)
      expect(answer.headers['content-type']).toMatch(/^application\/json/)
      expect(answer.body).toHaveProperty('knock_room_state')
    },
  )
})

describe('what is no knock', () => {
  it.each<[string, string | Buffer, string]>([
    ['nothing', '', 'M_NOT_JSON'],
    ['no JSON', '{"a":', 'M_NOT_JSON'],
    ['two values', '{}{}', 'M_NOT_JSON'],
    ['a byte order mark', '\ufeff{}', 'M_NOT_JSON'],
    ['no UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'M_NOT_JSON'],
    ['an array', '[]', 'M_BAD_JSON'],
    ['null', 'null', 'M_BAD_JSON'],
    ['text', '"text"', 'M_BAD_JSON'],
    ['a fraction', '{"a":1.0}', 'M_BAD_JSON'],
    ['a key twice', '{"a":1,"\\u0061":1}', 'M_BAD_JSON'],
    ['100,000 nested arrays', `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, 'M_BAD_JSON'],
  ])('A3 %s is 400 once there is a key of its sender', async (_name, body, errcode) => {
    const answer = await put({}, body)
    expect(answer).toMatchObject({ status: 400, body: errorOf(errcode) })
    expect(listener.keys.asked).toEqual(['remote.example'])
  })

  it('A3 more than 1 MiB is 413 M_TOO_LARGE, announced or not, and the connection goes on', async () => {
    const tooLarge = { status: 413, body: errorOf('M_TOO_LARGE') }
    expect(await put({}, Buffer.alloc(10_000_000, 0x20))).toMatchObject(tooLarge)
    const port = await listener.listen().catch(() => (listener.app.server.address() as { port: number }).port)
    const chunks = Array.from({ length: 20 }, () => `10000\r\n${' '.repeat(0x10000)}\r\n`).join('')
    const head = `PUT ${SEND} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n`
    const bytes = `${head}\r\n${chunks}0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`
    const answer = await exchangeBytes(port, bytes)
    expect(answer.status).toBe(413)
    expect(answer.text).toContain('HTTP/1.1 404')
  })

  it('A3 a body without end is answered 413, and its connection closed', async () => {
    listener = await openListener()
    const head = `PUT ${SEND} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n`
    const answer = await exchangeBytes(
      await listener.listen(),
      Buffer.concat([Buffer.from(head), Buffer.alloc(50_000_000)]),
    )
    expect(answer).toMatchObject({ status: 413, headers: { connection: 'close' } })
  })

  it('A3 exactly 1 MiB is read', async () => {
    const content = { pad: 'x'.repeat(1000), more: 1 }
    const body = padded(canonical(content), 1024 * 1024)
    expect((await put(content, body)).status).toBe(404)
    await listener.close()
    expect((await put(content, `${body} `)).status).toBe(413)
  })

  it('A3 a body of 1 MiB is handed on as it is signed, not with all that surrounds it', async () => {
    const content = { pad: 'x'.repeat(1000), more: ['\u00e9', { deep: 'y'.repeat(100) }] }
    let taken: { body: Json; original: { body: Uint8Array | undefined } } | undefined
    const refusal = { ok: false, status: 403, errcode: 'M_FORBIDDEN', error: 'no', rule: 'test' } as const
    const knocks: KnockCalls = {
      makeKnock: async () => refusal,
      async sendKnock(submitted) {
        taken = submitted as unknown as typeof taken
        return refusal
      },
    }
    expect((await put(content, padded(canonical(content), 1024 * 1024), [], undefined, { knocks })).status).toBe(403)
    expect(taken?.body).toEqual(content)
    expect(Buffer.from(taken?.original.body ?? []).toString()).toBe(canonical(content))
  })

  it('A3 an upload that breaks off leaves no failure behind', async () => {
    listener = await openListener()
    const port = await listener.listen()
    const socket = connect(port, '127.0.0.1')
    socket.end(`PUT ${SEND} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"a":`)
    await expect.poll(() => listener.answered.length).toBe(1)
    expect(listener.failures).toEqual([])
  })
})

describe('a body whose sender is nobody', () => {
  const NO_JSON = '{"a":'
  const claim = (origin: string, destination = 'resident.example') =>
    `X-Matrix origin="${origin}",destination="${destination}",key="ed25519:t_1",sig="${'A'.repeat(86)}"`
  /** How a body that is no JSON is answered, which shows whether anybody has read it. */
  const answerTo = async (authorization: readonly string[], body: string | Buffer = NO_JSON) => {
    const headers = authorization.flatMap((value) => ['authorization', value])
    const port = listener.port ?? (await listener.listen())
    const { status, body: error } = await exchange(port, { method: 'PUT', path: SEND, headers, body })
    return { status, errcode: error.errcode }
  }
  const unauthorized = { status: 401, errcode: 'M_UNAUTHORIZED' }

  it('A3 is not parsed: the head is answered first', async () => {
    listener = await openListener({ allowedServers: compileServerAcl({ allow: ['*'], deny: ['denied.example'] }) })
    expect(await answerTo([])).toEqual(unauthorized)
    expect(await answerTo(['X-Matrix x'])).toEqual(unauthorized)
    expect(await answerTo([claim('remote.example', 'other.example')])).toEqual(unauthorized)
    expect(await answerTo([claim('denied.example')])).toEqual({ status: 403, errcode: 'M_FORBIDDEN' })
    expect(listener.keys.asked).toEqual([])
    listener.keys.answer('dead.example', async () => ({ kind: 'unavailable', reason: 'nobody there' }))
    expect(await answerTo([claim('dead.example')])).toEqual(unauthorized)
    expect(await answerTo([claim('unknown.example')])).toEqual(unauthorized)
    expect(await answerTo([claim('remote.example')])).toEqual({ status: 400, errcode: 'M_NOT_JSON' })
  })

  it('A3 is read to its end before the answer, which arrives', async () => {
    listener = await openListener()
    const large = Buffer.alloc(1024 * 1024, 0x20)
    expect(await answerTo([], large)).toEqual(unauthorized)
    expect(await answerTo([], Buffer.alloc(8 * 1024 * 1024))).toEqual({ status: 413, errcode: 'M_TOO_LARGE' })
  })

  it.each<[string, string]>([
    ['empty objects', `{"a":[${'{},'.repeat(300_000)}{}]}`],
    ['numbers', `{"a":[${'1,'.repeat(500_000)}1]}`],
    ['nested lists', `{"a":[${`${'['.repeat(90)}${']'.repeat(90)},`.repeat(5_000)}1]}`],
    ['keys', `{${Array.from({ length: 80_000 }, (_, at) => `"${at}":1`).join(',')}}`],
    ['escapes', `{"a":"${'\\u0041'.repeat(170_000)}"}`],
    ['one string', `{"a":"${'x'.repeat(1_000_000)}"}`],
  ])('D3 of 1 MiB of %s is 413: reading ends where no event goes on', async (_name, body) => {
    listener = await openListener()
    expect(await answerTo([claim('remote.example')], body)).toEqual({ status: 413, errcode: 'M_TOO_LARGE' })
  })
})
