import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type AdminPorts, createAdminServer } from '../../src/http/admin-server.ts'
import { exchange } from '../support/http-client.ts'

let server: Server
afterEach(() => void server?.close())

async function listen(ports: Partial<AdminPorts> = {}): Promise<number> {
  server = createAdminServer({
    notReady: async () => [],
    metrics: async () => 'figures 1\n',
    metricsType: 'text/plain',
    failed: () => undefined,
    ...ports,
  })
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
