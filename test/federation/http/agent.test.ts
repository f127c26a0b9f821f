import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFairSlots } from '../../../src/concurrency/fair-slots.ts'
import { createAddressFilter, parseNetwork } from '../../../src/federation/discovery/address-filter.ts'
import type { Target } from '../../../src/federation/discovery/targets.ts'
import { createHttpAgent, type HttpAgent, type OutboundRequest } from '../../../src/federation/http/agent.ts'
import { createCertificateAuthority } from '../../support/certificates.ts'
import { startTlsServer, type TlsServer } from '../../support/tls-server.ts'

describe('guarded agent', () => {
  const authority = createCertificateAuthority()
  let server: TlsServer
  let agent: HttpAgent

  beforeAll(async () => {
    server = await startTlsServer(authority.issue(['a.example.test', '127.0.0.1']))
    const filter = createAddressFilter([parseNetwork('127.0.0.1') ?? expect.fail()])
    agent = createHttpAgent({ filter, clock: Date.now, caCertificates: [authority.cert] })
  })
  afterAll(() => Promise.all([agent.close(), server.close()]))

  const target = (changes: Partial<Target> = {}): Target => ({
    address: '127.0.0.1',
    port: server.port,
    host: 'a.example.test',
    servername: 'a.example.test',
    certificateName: 'a.example.test',
    ...changes,
  })
  const get = (to = target(), changes: Partial<OutboundRequest> = {}) =>
    agent.request(to, { method: 'GET', path: '/', maxBytes: 1000, deadline: Date.now() + 3000, ...changes })

  it('C6 the request target goes out byte for byte', async () => {
    server.answer = (_visit, response) => response.end('{}')
    await get(target(), { path: '/_matrix/x/%21a:b/%2F//?q=%20+' })
    expect(server.visits.at(-1)?.path).toBe('/_matrix/x/%21a:b/%2F//?q=%20+')
  })

  it('C6 SNI follows the target, not the Host header', async () => {
    await get(target({ host: 'elsewhere.example.test:1' }))
    expect(server.visits.at(-1)).toMatchObject({ host: 'elsewhere.example.test:1', servername: 'a.example.test' })
    await get(target({ host: 'elsewhere.example.test', servername: undefined, certificateName: '127.0.0.1' }))
    expect(server.visits.at(-1)).toMatchObject({ host: 'elsewhere.example.test', servername: false })
  })

  it('C6 one address under two names makes two connections, each for its name', async () => {
    const wrong = target({ servername: 'b.example.test', certificateName: 'b.example.test' })
    expect(await get()).toMatchObject({ kind: 'response' })
    expect(await get(wrong)).toEqual({ kind: 'failed', reason: 'ERR_TLS_CERT_ALTNAME_INVALID' })
    expect(await get()).toMatchObject({ kind: 'response' })
  })

  it('has time where the clock went back by a year since the deadline was set', async () => {
    server.answer = (_visit, response) => response.end('{}')
    expect(await get(target(), { deadline: Date.now() + 365 * 86_400_000 })).toMatchObject({ kind: 'response' })
  })

  it('takes turns by the address asked and by who causes it, and gives way where it hangs', async () => {
    const turns = createFairSlots({ slots: 4, perCause: 1, maxWaiting: 10, patienceMs: 1 })
    const filter = createAddressFilter([parseNetwork('127.0.0.1') ?? expect.fail()])
    const fair = createHttpAgent({ filter, clock: Date.now, caCertificates: [authority.cert], turns })
    const ask = (path: string) => {
      return fair.request(target(), { method: 'GET', path, maxBytes: 1000, deadline: Date.now() + 20_000, cause: path })
    }
    server.answer = ({ path }, response) => {
      if (path !== '/hangs') response.end('{}')
    }
    const hung = ask('/hangs')
    expect(await ask('/answers')).toMatchObject({ kind: 'response' })
    expect(await hung).toMatchObject({ kind: 'failed', lack: 'crowded' })
    await fair.close()
  })

  it('C8 redirects are not followed', async () => {
    server.answer = (_visit, response) => response.writeHead(302, { location: 'https://127.0.0.1/' }).end()
    expect(await get()).toMatchObject({ kind: 'response', status: 302, headers: { location: 'https://127.0.0.1/' } })
  })

  it('C8 a name in place of an address is refused', async () => {
    expect(await get(target({ address: 'localhost' }))).toEqual({
      kind: 'failed',
      reason: 'localhost is not permitted',
    })
  })

  it('a body of the size that is allowed is read, a longer one is not', async () => {
    server.answer = (_visit, response) => response.end('x'.repeat(1000))
    expect(await get()).toMatchObject({ kind: 'response', status: 200 })
    server.answer = (_visit, response) => response.end('x'.repeat(1001))
    expect(await get()).toEqual({ kind: 'failed', status: 200, reason: 'the response is larger than 1000 bytes' })
  })

  describe('bytes that belong to no body', () => {
    /** A server that answers each connection with a start, and then with the same piece until it is closed. */
    const floodsWith = async (start: string, piece: string) => {
      let sent = 0
      const sockets = new Set<Socket>()
      const flood = createTlsServer(authority.issue(['a.example.test']), (socket) => {
        sockets.add(socket)
        socket.on('error', () => {})
        socket.once('data', () => {
          socket.write(start)
          const more = () => {
            while (!socket.destroyed && sent < 64 * 1024 * 1024) {
              sent += piece.length
              if (!socket.write(piece)) return void socket.once('drain', more)
            }
          }
          more()
        })
      })
      await once(flood.listen(0, '127.0.0.1'), 'listening')
      const answer = await get(target({ port: (flood.address() as AddressInfo).port }))
      for (const socket of sockets) socket.destroy()
      flood.close()
      return { answer, sent }
    }

    it.each([
      ['early hints', '', 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'.repeat(400)],
      ['an extension of a chunk', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;', 'a'.repeat(16_384)],
      ['trailers', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n', 'a: b\r\n'.repeat(2_000)],
    ])('end the exchange where there are too many: %s', async (_what, start, piece) => {
      const { answer, sent } = await floodsWith(start, piece)
      expect(answer).toMatchObject({ kind: 'failed', reason: expect.stringMatching(/too many bytes|OVERFLOW/) })
      // What was sent lies in the buffers of both sides.
      expect(sent).toBeLessThan(16 * 1024 * 1024)
    })

    it('are counted anew for each exchange of a connection', async () => {
      server.answer = (_visit, response) => response.end('x'.repeat(1000))
      const before = server.connections
      for (let times = 0; times < 400; times++) expect(await get()).toMatchObject({ kind: 'response' })
      expect(server.connections - before).toBeLessThanOrEqual(4)
    })
  })

  it('a head without end is refused', async () => {
    server.answer = (_visit, response) => response.writeHead(200, { long: 'x'.repeat(20_000) }).end()
    expect(await get()).toEqual({ kind: 'failed', reason: 'UND_ERR_HEADERS_OVERFLOW' })
  })

  it('nobody listening, and no time, are values', async () => {
    expect(await get(target({ port: 1 }))).toEqual({ kind: 'failed', reason: 'ECONNREFUSED' })
    expect(await get(target(), { deadline: Date.now() - 1 })).toEqual({ kind: 'failed', reason: 'no time left' })
  })

  it('the next target is tried where one cannot be reached, not where one answers badly', async () => {
    server.answer = (_visit, response) => response.writeHead(500).end()
    const request = { method: 'GET', path: '/', maxBytes: 10, deadline: Date.now() + 3000 } as const
    expect(await agent.requestAny([target({ port: 1 }), target()], request)).toMatchObject({ status: 500 })
    const before = server.visits.length
    await agent.requestAny([target(), target()], request)
    expect(server.visits.length).toBe(before + 1)
  })

  it('keeps connections to so many targets, and closes the one used longest ago for another', async () => {
    const filter = createAddressFilter([parseNetwork('127.0.0.1') ?? expect.fail()])
    const small = createHttpAgent({ filter, clock: Date.now, caCertificates: [authority.cert], maxTargets: 2 })
    server.answer = (_visit, response) => response.end('{}')
    const before = server.connections
    const handshakes = async (certificateName: string) => {
      const request = { method: 'GET', path: '/', maxBytes: 10, deadline: Date.now() + 3000 } as const
      expect(await small.request(target({ certificateName }), request)).toMatchObject({ status: 200 })
      return server.connections - before
    }
    for (const [name, count] of Object.entries({ a: 1, b: 2 })) expect(await handshakes(name)).toBe(count)
    expect(await handshakes('a')).toBe(2)
    expect(await handshakes('c')).toBe(3)
    expect(await handshakes('a')).toBe(3)
    expect(await handshakes('b')).toBe(4)
    await small.close()
  })

  it('a target that is silent leaves time for the others', async () => {
    const silent = createServer()
    await once(silent.listen(0, '127.0.0.1'), 'listening')
    const deaf = target({ port: (silent.address() as AddressInfo).port })
    server.answer = (_visit, response) => response.end('{}')
    const request = { method: 'GET', path: '/', maxBytes: 10, deadline: Date.now() + 1200 } as const
    expect(await agent.requestAny([deaf, deaf, target()], request)).toMatchObject({ status: 200 })
    silent.close()
  })

  it('the last target has all the time that is left', async () => {
    server.answer = (_visit, response) => void setTimeout(() => response.end('{}'), 800)
    const request = { method: 'GET', path: '/', maxBytes: 10, deadline: Date.now() + 1500 } as const
    expect(await agent.requestAny([target({ port: 1 }), target()], request)).toMatchObject({ status: 200 })
  })
})
