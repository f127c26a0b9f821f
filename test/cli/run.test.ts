import { once } from 'node:events'
import { chmod, rm } from 'node:fs/promises'
import { Agent, type IncomingMessage, request } from 'node:http'
import { type AddressInfo, connect, createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { boundSocket } from '../support/bound-socket.ts'
import { exchange, exchangeBytes } from '../support/http-client.ts'
import { openWorkplace, type Workplace } from './program-fixture.ts'
import { type RunningProcess, startProcess } from './running.ts'

let work: Workplace
let running: RunningProcess[]

beforeEach(async () => {
  work = await openWorkplace()
  running = []
})
afterEach(async () => {
  for (const one of running) await one.stop('SIGKILL')
  await work.remove()
})

function start(config: string, sockets: readonly number[] = []): RunningProcess {
  const started = startProcess(config, sockets)
  running.push(started)
  return started
}

const get = (port: number, path: string) => exchange(port, { method: 'GET', path })

describe('run', { timeout: 30_000 }, () => {
  it('serves, says whose authority it is, and ends with 0 on SIGTERM', async () => {
    const service = start(await work.configure())
    const { port, adminPort } = await service.listening()
    expect((await get(adminPort, '/ready')).body).toEqual({ status: 'ready' })
    expect((await get(adminPort, '/health')).status).toBe(200)
    expect((await get(port, '/_matrix/federation/v1/make_knock/!r:x/@k:y')).status).toBe(401)
    expect((await get(adminPort, '/metrics')).text).toContain('reason="no_header"} 1')
    const config = await work.configure({ admin: { port: adminPort } })
    expect((await work.run('health', '-c', config)).code).toBe(0)
    expect(await service.stop()).toBe(0)
    expect(service.output()).toContain('authority')
    expect(service.output()).toMatch(/"route":"make_knock","status":401,.*"failure":"no_header"/)
    expect(service.output().trimEnd().split('\n').at(-1)).toContain('"stopped"')
  })

  it('answers at its admin listener to the names of the configuration, and says which key names them', async () => {
    const service = start(await work.configure({ admin: { port: 0, hosts: ['matrix-knock'] } }))
    const { adminPort } = await service.listening()
    const ask = (host: string) =>
      exchangeBytes(adminPort, `GET /metrics HTTP/1.1\r\nHost: ${host}:8451\r\nConnection: close\r\n\r\n`)
    expect((await ask('matrix-knock')).status).toBe(200)
    expect(await ask('attacker.example')).toMatchObject({
      status: 403,
      body: { errcode: 'M_FORBIDDEN', error: expect.stringContaining('admin.hosts') },
    })
    const config = await work.configure({ admin: { port: adminPort, host: 'localhost' } })
    expect((await work.run('health', '-c', config)).code).toBe(0)
  })

  it('ends with 1 once its store is lost, and says why', async () => {
    const service = start(await work.configure())
    const { adminPort } = await service.listening()
    await rm(work.at('knock.db'))
    // Whoever asks has the file looked at; upkeep may have found out a moment before.
    const ready = await get(adminPort, '/ready').catch(() => undefined)
    if (ready !== undefined) expect(ready.status).toBe(503)
    if (service.child.exitCode === null) await once(service.child, 'exit')
    expect(service.child.exitCode).toBe(1)
    expect(service.output()).toMatch(/removed while it was in use.*the store is lost/)
  })

  it('warns of a key, and of a password in the configuration, that others can read', async () => {
    const url = 'postgres://knock:hunter2@127.0.0.1:9/knock'
    const config = await work.configure({ store: { kind: 'sqlite', path: work.at('knock.db'), url } })
    for (const path of [work.at('signing.key'), config]) await chmod(path, 0o644)
    const service = start(config)
    await service.listening()
    expect(service.output()).toContain(`chmod 600 ${work.at('signing.key')}`)
    expect(service.output()).toContain(`chmod 600 ${config}`)
    expect(service.output()).not.toContain('hunter2')
  })

  it('says which address is taken, and ends with 1', async () => {
    const server = createServer()
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const { port } = server.address() as AddressInfo
    const service = start(await work.configure({ listen: { port } }))
    await once(service.child, 'exit')
    server.close()
    expect(service.child.exitCode).toBe(1)
    expect(service.output()).toContain(`listen: cannot listen on 127.0.0.1:${port} (EADDRINUSE)`)
  })

  it('stops soon although a connection is open that never carried anything', async () => {
    const service = start(await work.configure())
    const { port } = await service.listening()
    const silent = connect(port, '127.0.0.1')
    await once(silent, 'connect')
    const begun = Date.now()
    expect(await service.stop()).toBe(0)
    expect(Date.now() - begun).toBeLessThan(10_000)
    silent.destroy()
  })

  it('loses no request in a restart when the socket is handed over', async () => {
    const socket = boundSocket()
    const config = await work.configure({ listen: { fd: 3 } })
    const first = start(config, [socket.fd])
    const { port } = await first.listening()
    const statuses: (number | string | undefined)[] = []
    let asking = true
    const ask = async (agent: Agent | false): Promise<void> => {
      while (asking) statuses.push(await statusOf(port, agent).catch(String))
    }
    const keptAlive = new Agent({ keepAlive: true })
    const clients = [ask(false), ask(false), ask(keptAlive), ask(keptAlive)]
    await expect.poll(() => statuses.length).toBeGreaterThan(20)
    expect(await first.stop()).toBe(0)
    const before = statuses.length
    const second = start(config, [socket.fd])
    await second.listening()
    await expect.poll(() => statuses.length).toBeGreaterThan(before + 20)
    asking = false
    await Promise.all(clients)
    socket.close()
    keptAlive.destroy()
    expect(new Set(statuses)).toEqual(new Set([401]))
  })
})

async function statusOf(port: number, agent: Agent | false): Promise<number | undefined> {
  const sent = request({ host: '127.0.0.1', port, path: '/_matrix/federation/v1/make_knock/!r:x/@k:y', agent })
  const answered = once(sent, 'response')
  sent.end()
  const [response] = (await answered) as [IncomingMessage]
  response.resume()
  await once(response, 'end')
  return response.statusCode
}
