import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type Knock, knock } from '../../../src/cli/knock/knock.ts'
import type { KeyId, RoomId, ServerName, UserId } from '../../../src/matrix/identifiers.ts'
import { signingKeyFromSeed } from '../../../src/matrix/portable-ed25519.ts'
import { createCertificateAuthority, LOOPBACK_NAMES } from '../../support/certificates.ts'
import { exchange } from '../../support/http-client.ts'
import { sendJson } from '../../support/key-server.ts'
import { freePorts } from '../../support/service-process.ts'
import { createIdentity, type JsonRecord } from '../../support/signing.ts'
import { buildRoom, opening, person } from '../../support/test-room.ts'

const authority = createCertificateAuthority()
const resident = createIdentity('resident.example.test')
const alice = person('alice', resident)
const room = buildRoom('11', alice, opening(alice, '11'))
const user = '@kim:127.0.0.1' as UserId
const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

type Answers = (request: IncomingMessage, response: ServerResponse) => void

/** A resident over TLS that answers as it is told; `seen` takes the destinations that it was addressed by. */
async function residentThat(answers: Answers): Promise<{ port: number; seen: string[] }> {
  const seen: string[] = []
  const server = createServer(authority.issue(LOOPBACK_NAMES), (request, response) => {
    const [, destination] = /destination="([^"]*)"/.exec(request.headers.authorization ?? '') ?? []
    if (destination !== undefined) seen.push(destination)
    request.resume().once('end', () => answers(request, response))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  closers.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, seen }
}

const state = ['m.room.create', 'm.room.join_rules'].flatMap<JsonRecord>((type) => room.state(type)?.pdu ?? [])

/** The answers of a resident that does all as it should. */
const honest: Answers = (request, response) => {
  const event: JsonRecord = {
    type: 'm.room.member',
    room_id: room.roomId,
    sender: user,
    state_key: user,
    content: { membership: 'knock' },
    origin: resident.name,
    origin_server_ts: 1,
    depth: 9,
    prev_events: [room.tip.eventId],
    auth_events: room.authEventsFor(user),
  }
  if (request.url?.includes('make_knock')) sendJson(response, 200, { room_version: '11', event })
  else if (request.url?.includes('send_knock')) sendJson(response, 200, { knock_room_state: state })
  else sendJson(response, 404, { errcode: 'M_UNRECOGNIZED', error: 'no' })
}

async function orderFor(port: number, changes: Partial<Knock> = {}): Promise<Knock> {
  const [listen = 0] = await freePorts(1)
  const key = signingKeyFromSeed('ed25519:k' as KeyId, new Uint8Array(32).fill(7))
  return {
    requester: { serverName: `127.0.0.1:${listen}` as ServerName, key },
    via: { base: new URL(`https://127.0.0.1:${port}`), ca: authority.cert },
    roomId: room.roomId as RoomId,
    userId: user,
    versions: ['11'],
    reason: undefined,
    destination: undefined,
    keyServer: { host: '127.0.0.1', port: listen, ...authority.issue(LOOPBACK_NAMES) },
    ...changes,
  }
}

async function run(order: Knock): Promise<{ code: number; told: string }> {
  const lines: string[] = []
  const code = await knock(order, Date.now(), (line) => lines.push(line))
  return { code, told: lines.join('\n') }
}

describe('the knocking side', () => {
  it('is accepted over TLS by a resident that it was told the authority of', async () => {
    const { port } = await residentThat(honest)
    expect(await run(await orderFor(port))).toMatchObject({ code: 0, told: expect.stringMatching(/accepted$/) })
    const distrustful = await orderFor(port, { via: { base: new URL(`https://127.0.0.1:${port}`), ca: undefined } })
    expect(await run(distrustful)).toMatchObject({ code: 1, told: expect.stringContaining('no answer') })
  })

  it('tries the names that the resident may go by, in order, until one is not refused with 401', async () => {
    const { port, seen } = await residentThat((request, response) => {
      if (request.url === '/_matrix/key/v2/server') sendJson(response, 200, { server_name: 'keys.example.test' })
      else sendJson(response, 401, { errcode: 'M_UNAUTHORIZED', error: 'not me' })
    })
    expect((await run(await orderFor(port))).code).toBe(1)
    expect(seen).toEqual(['keys.example.test', resident.name, `127.0.0.1:${port}`])
    seen.length = 0
    await run(await orderFor(port, { destination: 'told.example.test' as ServerName }))
    expect(seen).toEqual(['told.example.test'])
  })

  it('tries the name that the resident gives itself when it is called by another, unless it was told one', async () => {
    const { port, seen } = await residentThat((request, response) => {
      if (/destination="?real\.example/.test(request.headers.authorization ?? '')) return honest(request, response)
      response.setHeader('www-authenticate', 'X-Matrix destination="real.example"')
      sendJson(response, 401, { errcode: 'M_UNAUTHORIZED', error: 'not me' })
    })
    await run(await orderFor(port))
    expect(seen.slice(0, 3)).toEqual([resident.name, `127.0.0.1:${port}`, 'real.example'])
    seen.length = 0
    expect((await run(await orderFor(port, { destination: 'told.example.test' as ServerName }))).code).toBe(1)
    expect(seen).toEqual(['told.example.test'])
  })

  it('does not try another name after any other refusal', async () => {
    const { port, seen } = await residentThat((_request, response) =>
      sendJson(response, 403, { errcode: 'M_FORBIDDEN', error: 'banned \u001b[31m' }),
    )
    const { told } = await run(await orderFor(port))
    expect(seen).toHaveLength(1)
    expect(told).toContain('403 M_FORBIDDEN: banned \\u{1b}[31m')
  })

  it('fails when the answer to the knock breaks the protocol', async () => {
    const { port } = await residentThat((request, response) => {
      if (request.url?.includes('send_knock')) sendJson(response, 200, { knock_room_state: state.slice(1) })
      else honest(request, response)
    })
    const { code, told } = await run(await orderFor(port))
    expect({ code, told }).toMatchObject({ code: 1, told: expect.stringContaining('the knock was taken, but') })
  })

  it('reads no answer without end', async () => {
    const { port } = await residentThat((_request, response) => {
      response.writeHead(200)
      response.end(Buffer.alloc(3_000_000, 0x20))
    })
    expect(await run(await orderFor(port))).toMatchObject({ code: 1, told: expect.stringMatching(/longer than/) })
  })

  it('serves its key while it knocks, and no longer', async () => {
    let keys: JsonRecord = {}
    const { port } = await residentThat((request, response) => {
      const path = '/_matrix/key/v2/server'
      if (!request.url?.includes('make_knock')) return honest(request, response)
      exchange(order.keyServer.port, { method: 'GET', path }, authority.cert)
        .then(({ body }) => {
          keys = body
        })
        .finally(() => honest(request, response))
    })
    const order = await orderFor(port)
    expect((await run(order)).code).toBe(0)
    expect(keys).toMatchObject({ server_name: order.requester.serverName, verify_keys: { 'ed25519:k': {} } })
    const after = exchange(order.keyServer.port, { method: 'GET', path: '/' }, authority.cert)
    await expect(after).rejects.toThrow(/ECONNREFUSED/)
  })

  it('says so when it cannot listen', async () => {
    const { port } = await residentThat(honest)
    const order = await orderFor(port)
    const taken = { ...order, keyServer: { ...order.keyServer, port } }
    expect(await run(taken)).toMatchObject({ code: 1, told: expect.stringContaining('EADDRINUSE') })
  })
})
