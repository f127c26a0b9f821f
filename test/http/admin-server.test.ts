import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type AdminPorts, createAdminServer } from '../../src/http/admin-server.ts'
import { exchange, exchangeBytes } from '../support/http-client.ts'

let server: Server
afterEach(() => void server?.close())

async function listen(ports: Partial<AdminPorts> = {}, names?: readonly string[]): Promise<number> {
  const all = {
    notReady: async () => [],
    metrics: async () => 'figures 1\n',
    metricsType: 'text/plain',
    failed: () => undefined,
    ...ports,
  }
  server = createAdminServer(all, names)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return (server.address() as AddressInfo).port
}

describe('the admin listener', () => {
  it('/health is 200 while the process runs, ready or not', async () => {
    const port = await listen({ notReady: async () => ['the store cannot be read'] })
    expect((await exchange(port, { method: 'GET', path: '/health' })).status).toBe(200)
  })

  it('/ready is 200, or 503 with every reason', async () => {
    const reasons: string[] = []
    const port = await listen({ notReady: async () => reasons })
    expect(await exchange(port, { method: 'GET', path: '/ready' })).toMatchObject({
      status: 200,
      body: { status: 'ready' },
    })
    reasons.push('the store cannot be read', 'the service is stopping')
    const answer = await exchange(port, { method: 'GET', path: '/ready' })
    expect(answer).toMatchObject({ status: 503, body: { status: 'not ready', reasons } })
  })

  it('/metrics is what the registry says', async () => {
    const port = await listen()
    const answer = await exchange(port, { method: 'GET', path: '/metrics?x=1' })
    expect([answer.status, answer.text, answer.headers['content-type']]).toEqual([200, 'figures 1\n', 'text/plain'])
  })

  it('A1 A2 A3 everything else is an error in Matrix shape', async () => {
    const failures: unknown[] = []
    const failed = (error: unknown) => void failures.push(error)
    const port = await listen({ metrics: () => Promise.reject(new Error('secret')), failed })
    for (const [method, path, status] of [
      ['GET', '/', 404],
      ['GET', '/constructor', 404],
      ['POST', '/ready', 405],
      ['GET', '/metrics', 500],
    ] as const) {
      const answer = await exchange(port, { method, path })
      expect(answer).toMatchObject({ status, body: { errcode: expect.any(String), error: expect.any(String) } })
      expect(answer.text).not.toContain('secret')
    }
    expect(String(failures)).toContain('secret')
  })
})

describe('who may ask the admin listener', () => {
  const PATHS = ['/health', '/ready', '/metrics', '/nothing']

  async function ask(host: string, path: string, ...more: readonly string[]) {
    const port = (server.address() as AddressInfo).port
    const lines = [`GET ${path} HTTP/1.1`, `Host: ${host.replace('%', String(port))}`, ...more, 'Connection: close']
    return exchangeBytes(port, `${lines.join('\r\n')}\r\n\r\n`)
  }

  it.each([
    ['127.0.0.1:%'],
    ['127.0.0.1'],
    ['localhost:%'],
    ['LocalHost'],
    ['localhost.:%'],
    ['[::1]:%'],
    ['[::ffff:127.0.0.1]'],
    ['192.0.2.7:9000'],
    ['knock.internal:%'],
    ['matrix-knock:8451'],
    ['Matrix-Knock'],
  ])('whoever was given an address or a name of it: %s', async (host) => {
    await listen({}, ['knock.internal', 'matrix-knock'])
    expect((await ask(host, '/health')).status).toBe(200)
    expect((await ask(host, '/metrics')).text).toBe('figures 1\n')
  })

  it.each([
    ['attacker.example:%'],
    ['attacker.example'],
    ['127.0.0.1.attacker.example:%'],
    ['localhost.attacker.example'],
    ['matrix-knock.attacker.example'],
    ['matrix-knock'],
    ['a.localhost:%'],
    ['[attacker.example]'],
    ['[127.0.0.1]'],
    ['127.1'],
    ['127.0.0.1:%:%'],
    ['::1'],
    [''],
  ])('no page under a name that is led here: %j', async (host) => {
    await listen()
    for (const path of PATHS) {
      const { status, body, text } = await ask(host, path)
      expect([status, body.errcode]).toEqual([403, 'M_FORBIDDEN'])
      expect(body.error).toContain('admin.hosts')
      expect(text).not.toContain('figures')
    }
  })

  it.each([
    ['Origin: http://attacker.example'],
    ['Origin: null'],
    ['Sec-Fetch-Site: cross-site'],
    ['Sec-Fetch-Site: same-site'],
  ])('no page that asks for it from elsewhere: %s', async (header) => {
    await listen()
    for (const path of PATHS) {
      expect(await ask('127.0.0.1:%', path, header)).toMatchObject({ status: 403, body: { errcode: 'M_FORBIDDEN' } })
    }
  })

  it('the operator in a browser, and health checks that send no Host', async () => {
    const port = await listen()
    const own = `Origin: http://127.0.0.1:${port}`
    for (const header of [own, 'Sec-Fetch-Site: none', 'Sec-Fetch-Site: same-origin']) {
      expect((await ask('127.0.0.1:%', '/ready', header)).status).toBe(200)
    }
    expect((await exchangeBytes(port, 'GET /health HTTP/1.0\r\n\r\n')).status).toBe(200)
  })
})
