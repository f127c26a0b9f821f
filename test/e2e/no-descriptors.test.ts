import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, expect, it, vi } from 'vitest'
import { exchange } from '../support/http-client.ts'
import { makeKnockPath } from '../support/remote-knocker.ts'
import { authorization } from '../support/signing.ts'
import { buildRoom, opening, type TestRoom } from '../support/test-room.ts'
import { type Stage, setStage, until } from './stage.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

/** Enough to run, and to take a few connections. */
const DESCRIPTORS = 64

let stage: Stage
const sockets: Socket[] = []
afterEach(() => {
  for (const socket of sockets) socket.destroy()
  return stage?.close()
})

async function open(): Promise<Socket> {
  const socket = connect(stage.service.port, '127.0.0.1')
  sockets.push(socket.on('error', () => undefined))
  await once(socket, 'connect')
  return socket
}

it('B6 a process that is out of descriptors answers a newcomer when it has some again, and never 401', async () => {
  let room: TestRoom | undefined
  stage = await setStage(
    ({ alice }) => {
      room = buildRoom('10', alice, opening(alice, '10'))
      return [room]
    },
    {},
    { descriptors: DESCRIPTORS },
  )
  const asking = await open()
  const admin = connect(stage.service.adminPort, '127.0.0.1')
  sockets.push(admin)
  // Each takes a descriptor of the service until none is left: those that it cannot take it closes.
  let closed = 0
  for (let at = 0; at < DESCRIPTORS; at++) (await open()).once('close', () => closed++)
  await until('end of the descriptors', () => closed > 0)
  const path = makeKnockPath(room?.roomId ?? '', stage.knocker('kim').id, '10')
  const header = authorization(stage.remote.identity, { method: 'GET', uri: path, destination: stage.resident.name })
  asking.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: ${header}\r\n\r\n`)
  const answer = once(asking, 'data')
  // The metrics come over a connection that was there before.
  let metrics = ''
  admin.on('data', (chunk) => {
    metrics += String(chunk)
  })
  await until('look-up that could not be made', () => {
    metrics = metrics.slice(-100_000)
    admin.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n')
    return /^matrix_knock_key_lookups_total\{outcome="missing"\} [1-9]/m.test(metrics)
  })
  for (const socket of sockets.slice(2)) socket.destroy()
  expect(String((await answer)[0])).toMatch(/^HTTP\/1\.1 200/)
  const after = await exchange(stage.service.port, { method: 'GET', path, headers: ['authorization', header] })
  expect(after.status).toBe(200)
})
