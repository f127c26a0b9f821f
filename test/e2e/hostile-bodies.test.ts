import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type FakeDns, startFakeDns } from '../support/fake-dns.ts'
import { exchange } from '../support/http-client.ts'
import { mostResident, residentBytes } from '../support/process-memory.ts'
import { knockEvent, makeKnock, sendKnockPath } from '../support/remote-knocker.ts'
import { authorization } from '../support/signing.ts'
import { buildRoom, opening, type TestRoom } from '../support/test-room.ts'
import { type Stage, setStage, until } from './stage.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

const MIB = 1024 * 1024
/** What 200 bodies at once may take beside what the service has anyway. */
const MOST_GROWTH = 64 * MIB

let stage: Stage
let room: TestRoom
let dns: FakeDns
let sockets: Socket[]

beforeEach(async () => {
  dns = await startFakeDns(Object.fromEntries(Array.from({ length: 200 }, (_, at) => [`nobody${at}.test`, 'hang'])))
  sockets = []
  stage = await setStage(
    ({ alice }) => {
      room = buildRoom('10', alice, opening(alice, '10'))
      return [room]
    },
    { federation: { dns_servers: [dns.server] }, timeouts: { key_lookup_seconds: 3 } },
  )
  // Whatever a service has once it works, and the keys of the remote.
  for (let at = 0; at < 200; at++) await makeKnock(stage.service, stage.knocker(`early${at}`), room)
})
afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  await stage?.close()
  await dns.close()
})

const knockOf = (name: string) => knockEvent(room, stage.knocker(name))
const forged = (origin: string): string =>
  `X-Matrix origin="${origin}",destination="resident.example",key="ed25519:t_1",sig="${'A'.repeat(86)}"`
const empties = Buffer.from(`{"a":[${'{},'.repeat(MIB / 3 - 4)}{}]}`)
const target = () => sendKnockPath(room.roomId, `$${'A'.repeat(43)}`)

/** Sends 1 MiB of empty objects in the name of many, all at once. */
const flood = (origin: (at: number) => string, count = 200) =>
  Promise.all(
    Array.from({ length: count }, (_, at) =>
      exchange(stage.service.port, {
        method: 'PUT',
        path: target(),
        headers: ['authorization', forged(origin(at))],
        body: empties,
      }),
    ),
  )

/** Opens a send_knock in the neighbour's name, sends so much of its body, and then nothing. */
async function stall(announced: number, sent: number): Promise<void> {
  const socket = connect(stage.service.port, '127.0.0.1')
  sockets.push(socket)
  socket.on('error', () => undefined).resume()
  await once(socket, 'connect')
  const head = `PUT ${target()} HTTP/1.1\r\nHost: x\r\nAuthorization: ${forged(stage.neighbour.name)}\r\n`
  socket.write(`${head}Content-Length: ${announced}\r\n\r\n`)
  socket.write(Buffer.alloc(sent, 0x20))
}

/** A good knock whose body comes a while after its head, so that it is not there when it is asked for. */
async function knockInTwoParts(name: string, space: number): Promise<number> {
  const { eventId, pdu } = knockOf(name)
  const path = sendKnockPath(room.roomId, eventId)
  const toSign = { method: 'PUT', uri: path, destination: stage.resident.name, content: pdu }
  const body = `${' '.repeat(space)}${JSON.stringify(pdu)}`
  const socket = connect(stage.service.port, '127.0.0.1')
  sockets.push(socket)
  await once(socket, 'connect')
  const head = `PUT ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization(stage.remote.identity, toSign)}\r\n`
  socket.write(`${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body.slice(0, 100)}`)
  await new Promise((resolve) => setTimeout(resolve, 50))
  socket.write(body.slice(100))
  const [answer] = await once(socket, 'data')
  return Number(/^HTTP\/1\.1 (\d+)/.exec(String(answer))?.[1])
}

describe('200 bodies of 1 MiB at once', () => {
  it.each<[string, (at: number) => string, number]>([
    ['of invented servers', (at) => `nobody${at}.test`, 401],
    ['in the name of a server whose keys are known', () => stage.remote.name, 413],
  ])('A3 %s take less than 64 MiB', async (_what, origin, status) => {
    const before = await residentBytes(stage.service.pid())
    const { most, result } = await mostResident(stage.service.pid(), flood(origin))
    expect(new Set(result.map((answer) => answer.status))).toEqual(new Set([status]))
    expect((most - before) / MIB).toBeLessThan(MOST_GROWTH / MIB)
    expect((await makeKnock(stage.service, stage.knocker('kim'), room)).status).toBe(200)
  })
})

describe('bodies that stall', () => {
  it('A3 hold no more than that, and give way to those that arrive', async () => {
    const before = await residentBytes(stage.service.pid())
    const opened = Promise.all(Array.from({ length: 300 }, () => stall(MIB, 900_000)))
    const knocks = opened.then(() => Promise.all([knockInTwoParts('small', 0), knockInTwoParts('large', MIB / 2)]))
    const { most, result } = await mostResident(stage.service.pid(), knocks)
    expect(result).toEqual([200, 200])
    expect((most - before) / MIB).toBeLessThan(MOST_GROWTH / MIB)
  })

  it('A3 give way where all are small', async () => {
    await Promise.all(Array.from({ length: 600 }, () => stall(60_000, 100)))
    expect(await knockInTwoParts('patient', 0)).toBe(200)
  })

  it('A3 are answered 408, which makes no server turn away', async () => {
    await Promise.all(Array.from({ length: 20 }, () => stall(MIB, 100)))
    const answers: string[] = []
    for (const socket of sockets) socket.on('data', (chunk) => answers.push(String(chunk)))
    await until('answer to what stalls', () => answers.length > 0, 20_000)
    expect(answers[0]).toMatch(/^HTTP\/1\.1 408/)
    expect(answers[0]).toMatch(/connection: close/i)
  })
})
