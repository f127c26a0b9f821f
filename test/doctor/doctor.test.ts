import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { writeRegistration } from '../../src/config/registration-file.ts'
import { MARKER_HEADER } from '../../src/knock/ports/homeserver.ts'
import { openWorkplace, type Workplace } from '../cli/program-fixture.ts'
import { base64, createIdentity, type JsonRecord } from '../support/signing.ts'
import { buildRoom, opening, person } from '../support/test-room.ts'

type Reply = { readonly status?: number; readonly body?: JsonRecord; readonly headers?: Record<string, string> }

let work: Workplace
let homeserver: Server
/** Answers by the beginning of the path, which a test replaces. */
let replies: Record<string, Reply | ((request: IncomingMessage) => Reply)>

beforeEach(async () => {
  work = await openWorkplace()
  replies = {
    '/_matrix/federation/v1/version': { body: { server: { name: 'Fake', version: '1.2' } } },
    '/_matrix/key/v2/server': {
      body: { verify_keys: { [work.identity.keyId]: { key: base64(work.identity.publicKey) } } },
    },
    '/_matrix/federation/v1/query/profile': { status: 404, body: { errcode: 'M_NOT_FOUND', error: 'none' } },
    '/_matrix/client/v1/appservice/matrix-knock/ping': { body: { duration_ms: 3 } },
  }
  homeserver = createServer(answer)
  await once(homeserver.listen(0, '127.0.0.1'), 'listening')
})
afterEach(async () => {
  homeserver.closeAllConnections()
  homeserver.close()
  await work.remove()
})

function answer(request: IncomingMessage, response: ServerResponse): void {
  const found = Object.entries(replies).find(([path]) => request.url?.startsWith(path))?.[1]
  const reply = typeof found === 'function' ? found(request) : found
  const {
    status = reply === undefined ? 404 : 200,
    body = { errcode: 'M_UNRECOGNIZED', error: '?' },
    headers = {},
  } = reply ?? {}
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

const url = (): string => `http://127.0.0.1:${(homeserver.address() as AddressInfo).port}`

async function examine(changes: JsonRecord = {}, ...options: readonly string[]) {
  const config = await work.configure({ homeserver: { handover: 'inject', url: url(), ...changes } })
  const { code, out, err } = await work.run('doctor', '-c', config, '--json', ...options)
  const findings = JSON.parse(out || '[]') as { name: string; outcome: string; detail: string; remedy?: string }[]
  return { code, err, of: (name: string) => findings.find((finding) => finding.name === name) }
}

describe('doctor', () => {
  it('names a room that is closed by an event that cannot be used', async () => {
    const alice = person('alice', work.identity)
    const room = buildRoom('11', alice, opening(alice, '11')).importFile() as { pdus: JsonRecord[]; room_id: string }
    const pdus = room.pdus.map((pdu) => (pdu.type === 'm.room.power_levels' ? { ...pdu, signatures: {} } : pdu))
    await writeFile(work.at('room.json'), JSON.stringify({ ...room, pdus }))
    await work.run('rooms', 'import', work.at('room.json'), '-c', await work.configure())
    const { code, of } = await examine()
    expect(code).toBe(1)
    expect(of('rooms')).toMatchObject({
      outcome: 'failed',
      detail: expect.stringMatching(`${room.room_id}: m\\.room\\.power_levels: .*not signed by resident.example`),
      remedy: expect.stringMatching(/moderator send the event again/),
    })
  })

  it('finds nothing wrong with a homeserver that is as it should be', async () => {
    const { code, of } = await examine()
    expect(code).toBe(0)
    expect(of('homeserver')).toMatchObject({ outcome: 'ok', detail: expect.stringContaining('Fake 1.2') })
    for (const name of ['store', 'homeserver.url', 'clock', 'signing key', 'reading as the homeserver']) {
      expect(of(name)?.outcome, name).toBe('ok')
    }
    expect(of('application service')).toMatchObject({ outcome: 'note' })
    expect(of('reverse proxy')).toMatchObject({ outcome: 'note' })
  })

  it.each<[string, string, () => void, RegExp, RegExp]>([
    [
      'a homeserver that answers otherwise',
      'homeserver',
      () => {
        replies['/_matrix/federation/v1/version'] = { status: 404 }
      },
      /answers 404/,
      /homeserver\.url/,
    ],
    [
      'a URL that leads back here',
      'homeserver.url',
      () => {
        replies['/_matrix/federation/v1/make_knock/'] = (request) => ({
          status: 500,
          headers: { [MARKER_HEADER]: String(request.headers[MARKER_HEADER]) },
        })
      },
      /leads back/,
      /past the reverse proxy/,
    ],
    [
      'another time',
      'clock',
      () => {
        replies['/_matrix/federation/v1/version'] = {
          body: { server: { name: 'Fake', version: '1' } },
          headers: { date: new Date(Date.now() - 3_600_000).toUTCString() },
        }
      },
      /36\d\d s off/,
      /clocks/,
    ],
    [
      'another key',
      'signing key',
      () => {
        const other = createIdentity('x')
        replies['/_matrix/key/v2/server'] = {
          body: { verify_keys: { [work.identity.keyId]: { key: base64(other.publicKey) } } },
        }
      },
      /is another key/,
      /signing_key_path/,
    ],
    [
      'a key that is not published',
      'signing key',
      () => {
        replies['/_matrix/key/v2/server'] = { body: { verify_keys: {} } }
      },
      /does not publish ed25519:a_1/,
      /signing_key_path/,
    ],
    [
      'a signature that is not accepted',
      'reading as the homeserver',
      () => {
        replies['/_matrix/federation/v1/query/profile'] = {
          status: 401,
          body: { errcode: 'M_UNAUTHORIZED', error: 'no' },
        }
      },
      /401 M_UNAUTHORIZED no/,
      /signing_key_path/,
    ],
    [
      'an allow list without the own name',
      'reading as the homeserver',
      () => {
        replies['/_matrix/federation/v1/query/profile'] = {
          status: 403,
          body: { errcode: 'M_FORBIDDEN', error: 'denied' },
        }
      },
      /403 M_FORBIDDEN denied/,
      /federation_domain_whitelist/,
    ],
  ])('finds %s, says what to change, and exits with 1', async (_, name, breaks, detail, remedy) => {
    breaks()
    const { code, of } = await examine()
    expect(code).toBe(1)
    expect(of(name)).toMatchObject({
      outcome: 'failed',
      detail: expect.stringMatching(detail),
      remedy: expect.stringMatching(remedy),
      docs: expect.stringMatching(/^docs\/.*\.md$/),
    })
  })

  it('finds a homeserver that is not there', async () => {
    const { code, of } = await examine({ url: 'http://127.0.0.1:9' })
    expect([code, of('homeserver')?.outcome]).toEqual([1, 'failed'])
  })

  it('pings by the registration, and tells what the homeserver says of it', async () => {
    await writeFile(work.at('r.yaml'), writeRegistration({ url: 'http://127.0.0.1:1', asToken: 'as', hsToken: 'hs' }), {
      mode: 0o600,
    })
    const appservice = { registration_path: work.at('r.yaml') }
    let token: string | undefined
    replies['/_matrix/client/v1/appservice/matrix-knock/ping'] = (request) => {
      token = request.headers.authorization
      return { body: { duration_ms: 1 } }
    }
    expect((await examine({ appservice })).of('application service')?.outcome).toBe('ok')
    expect(token).toBe('Bearer as')
    replies['/_matrix/client/v1/appservice/matrix-knock/ping'] = {
      status: 502,
      body: { errcode: 'M_CONNECTION_FAILED', error: 'refused' },
    }
    expect((await examine({ appservice })).of('application service')).toMatchObject({
      outcome: 'failed',
      detail: expect.stringContaining('M_CONNECTION_FAILED'),
    })
  })

  it('knocks through the public address, and takes our own refusal for the proof', async () => {
    let seen: string | undefined
    replies['/_matrix/federation/v1/make_knock/%21'] = (request) => {
      seen = request.url
      return { status: 403, body: { errcode: 'M_FORBIDDEN', error: 'This server does not knock on its own rooms' } }
    }
    const { code, of } = await examine({}, '--public-url', url())
    expect([code, of('reverse proxy')?.outcome]).toEqual([0, 'ok'])
    expect(seen).toContain('%21doctor%2Fa%2B%25:')
    replies['/_matrix/federation/v1/make_knock/%21'] = { status: 403, body: { errcode: 'M_FORBIDDEN', error: 'other' } }
    expect((await examine({}, '--public-url', url())).code).toBe(1)
  })

  it('looks at what can be seen without the signing key, and says what cannot', async () => {
    const beside = { handover: 'forward', template: 'upstream', url: url() }
    const keyless = async (...options: readonly string[]) => {
      const config = await work.configure({ homeserver: beside, signing_key_path: work.at('none.key') })
      const { code, out } = await work.run('doctor', '-c', config, '--json', ...options)
      const findings = JSON.parse(out) as { name: string; outcome: string; detail: string; remedy?: string }[]
      return { code, findings, of: (name: string) => findings.find((finding) => finding.name === name) }
    }
    let authorization: unknown = 'none yet'
    replies['/_matrix/federation/v1/make_knock/'] = ({ headers }) => {
      authorization = headers.authorization
      return { status: 401, body: { errcode: 'M_UNAUTHORIZED', error: 'who are you?' } }
    }
    const fine = await keyless('--public-url', url())
    expect(fine.code).toBe(0)
    expect(authorization).toBeUndefined()
    expect(fine.findings.map(({ name, outcome }) => [name, outcome])).toEqual([
      ['configuration', 'ok'],
      ['files', 'note'],
      ['store', 'ok'],
      ['rooms', 'ok'],
      ['homeserver', 'ok'],
      ['homeserver.url', 'ok'],
      ['clock', 'ok'],
      ['signing key', 'note'],
      ['knocking of the homeserver', 'ok'],
      ['reverse proxy', 'note'],
    ])
    expect(fine.of('reverse proxy')?.detail).toMatch(/takes the signing key/)
    replies['/_matrix/federation/v1/make_knock/'] = (request) => ({
      status: 500,
      headers: { [MARKER_HEADER]: String(request.headers[MARKER_HEADER]) },
    })
    expect((await keyless()).of('homeserver.url')).toMatchObject({ outcome: 'failed' })
    replies['/_matrix/federation/v1/make_knock/'] = { status: 404, body: { errcode: 'M_UNRECOGNIZED', error: '?' } }
    const { code, of } = await keyless()
    expect([code, of('knocking of the homeserver')]).toEqual([
      1,
      expect.objectContaining({ outcome: 'failed', remedy: expect.stringMatching(/handover: inject/) }),
    ])
  })

  it('refuses a public address that is none', async () => {
    const { code, err } = await examine({}, '--public-url', 'https://x/path')
    expect([code, err]).toEqual([2, expect.stringContaining('--public-url')])
  })
})
