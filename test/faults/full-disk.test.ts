/** SQLite meets a limit on the size of files, which is to it what a full disk is; later the limit is lifted. */
import { execFile } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { openReader } from '../../src/store/sqlite/connection.ts'
import { until } from '../e2e/stage.ts'
import type { SignedEvent } from '../support/events.ts'
import { exchange } from '../support/http-client.ts'
import { knockEvent, makeKnock, sendKnock } from '../support/remote-knocker.ts'
import type { Service } from '../support/service-process.ts'
import { person } from '../support/test-room.ts'
import { expectDelivered, expectWholeBooks } from './books.ts'
import { type Scene, setScene, sqliteStore } from './scene.ts'

const SPARE_BYTES = 128 * 1024
const PADDING = 'x'.repeat(8_000)
const MOST_KNOCKS = 500

/** How large a file the process may make from now on; it may raise that again, so no privilege is needed to lift it. */
async function limitFiles(service: Service, bytes: number | 'unlimited'): Promise<void> {
  await promisify(execFile)('prlimit', ['--pid', String(service.pid()), `--fsize=${bytes}:unlimited`])
}

async function largestFile({ directory }: Service): Promise<number> {
  const files = await Promise.all(['knock.db', 'knock.db-wal'].map((name) => stat(join(directory, name))))
  return Math.max(...files.map(({ size }) => size))
}

function padded({ room, remote }: Scene, at: number): SignedEvent {
  const content = { membership: 'knock', reason: PADDING }
  return knockEvent(room, person(`u${at}`, remote.identity), { content })
}

/** Knocks until one is not let know. @returns what was accepted, and the one that was not */
async function fill(scene: Scene, service: Service) {
  const accepted = new Map<string, string>()
  for (let at = 0; at < MOST_KNOCKS; at++) {
    const event = padded(scene, at)
    const answer = await sendKnock(service, scene.remote.identity, scene.room, event)
    if (answer.status !== 200) return { accepted, refused: event, answer }
    accepted.set(event.eventId, String(event.pdu.sender))
  }
  throw new Error('the limit was never met')
}

async function serviceWithFullDisk() {
  const scene = await setScene()
  const service = await scene.start({ rooms: [scene.room] })
  await limitFiles(service, (await largestFile(service)) + SPARE_BYTES)
  return { scene, service, ...(await fill(scene, service)) }
}

const ready = ({ adminPort }: Service) => exchange(adminPort, { method: 'GET', path: '/ready' })

/** Nothing is damaged, all that was answered 200 is there, and the one that was refused is let know now. */
async function expectRecovery({ scene, service, accepted, refused }: Awaited<ReturnType<typeof serviceWithFullDisk>>) {
  const { room, remote, neighbour } = scene
  await until('readiness', async () => (await ready(service)).status === 200)
  expect((await sendKnock(service, remote.identity, room, refused)).status).toBe(200)
  accepted.set(refused.eventId, String(refused.pdu.sender))
  const location = (await sqliteStore()).location(service)
  const recorded = await expectWholeBooks({ location, room, imports: 1, accepted })
  expect(recorded).toHaveLength(accepted.size)
  await expectDelivered(neighbour, recorded)
  expect(await service.end()).toBe(0)
  const file = openReader(join(service.directory, 'knock.db'))
  expect(file.prepare('PRAGMA integrity_check').all()).toEqual([{ integrity_check: 'ok' }])
  file.close()
}

describe('a disk that is full', () => {
  it('is told to callers and in /ready, and forgotten once there is space', async () => {
    const full = await serviceWithFullDisk()
    const { scene, service, accepted, answer } = full
    expect(accepted.size).toBeGreaterThan(0)
    expect(`${answer.status} ${answer.body.errcode}`).toBe('500 M_UNKNOWN')
    expect((await ready(service)).status).toBe(503)
    expect((await ready(service)).body.reasons).toEqual([expect.stringMatching(/^the store cannot be written: /)])
    expect((await makeKnock(service, person('reader', scene.remote.identity), scene.room)).status).toBe(200)
    await limitFiles(service, 'unlimited')
    await expectRecovery(full)
  })

  it('and the process killed on it: the next one finds all that was answered', async () => {
    const full = await serviceWithFullDisk()
    await full.service.kill()
    await full.service.start()
    await expectRecovery(full)
  })
})
