import { once } from 'node:events'
import { Agent, createServer, get, type IncomingMessage, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { createDrain } from '../../src/http/drain.ts'

let server: Server
const agent = new Agent({ keepAlive: true })
afterEach(() => {
  agent.destroy()
  server?.closeAllConnections()
})

/** A server whose answers wait for `release`, with its port. */
async function listening(release: Promise<void> = Promise.resolve()) {
  server = createServer((_request, response) => void release.then(() => response.end('done')))
  const drain = createDrain(server, { idleMs: 200, mostMs: 5_000 })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return { drain, port: (server.address() as AddressInfo).port }
}

async function ask(port: number): Promise<IncomingMessage> {
  const [response] = (await once(get({ port, host: '127.0.0.1', agent }), 'response')) as [IncomingMessage]
  response.resume()
  await once(response, 'end')
  return response
}

describe('drain', () => {
  it('finishes what is under way, then closes', async () => {
    let release = () => {}
    const { drain, port } = await listening(new Promise((resolve) => (release = resolve)))
    const answer = ask(port)
    await once(server, 'request')
    const drained = drain.begin()
    release()
    expect((await answer).statusCode).toBe(200)
    await drained
    expect(server.listening).toBe(false)
  })

  it('takes no more connections', async () => {
    const { drain, port } = await listening()
    const drained = drain.begin()
    await expect(ask(port)).rejects.toThrow('ECONNREFUSED')
    await drained
  })

  it('answers a request on a connection that was idle when it began, and closes it', async () => {
    const { drain, port } = await listening()
    expect((await ask(port)).headers.connection).toBe('keep-alive')
    const drained = drain.begin()
    const last = await ask(port)
    expect([last.statusCode, last.headers.connection]).toEqual([200, 'close'])
    await drained
  })

  it('closes idle connections after a moment, and those that never carried anything', async () => {
    const { drain, port } = await listening()
    await ask(port)
    const silent = connect(port, '127.0.0.1')
    await once(silent, 'connect')
    await expect.poll(() => new Promise((resolve) => server.getConnections((_e, count) => resolve(count)))).toBe(2)
    const begun = Date.now()
    await drain.begin()
    expect(Date.now() - begun).toBeLessThan(4_000)
  })

  it('cuts off what does not end in time', async () => {
    server = createServer(() => undefined)
    const drain = createDrain(server, { idleMs: 50, mostMs: 200 })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const answer = ask((server.address() as AddressInfo).port)
    const failed = expect(answer).rejects.toThrow('socket hang up')
    await once(server, 'request')
    await drain.begin()
    await failed
  })
})
