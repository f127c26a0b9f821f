/** The wall clock is set while the whole service runs, in this process, on SQLite: far ahead, far back, and right again. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { loadOperatorFiles } from '../../src/config/operator-files.ts'
import { configSchema } from '../../src/config/schema.ts'
import { openLog } from '../../src/observability/log.ts'
import { importConfiguredRoom } from '../../src/wiring/import.ts'
import { startService } from '../../src/wiring/service.ts'
import { openConfiguredStore } from '../../src/wiring/store.ts'
import { until } from '../e2e/stage.ts'
import type { SignedEvent } from '../support/events.ts'
import { startFakeHomeserver } from '../support/fake-homeserver.ts'
import { knockEvent, makeKnock, type Resident, sendKnock } from '../support/remote-knocker.ts'
import { signingKeyLine } from '../support/signing.ts'
import { person } from '../support/test-room.ts'
import { expectDelivered, expectWholeBooks } from './books.ts'
import { type Scene, setScene } from './scene.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const YEAR = 365 * DAY

interface Timed extends Scene {
  readonly resident: Resident['identity']
  readonly service: Resident
  /** Sets the clock so much ahead of the right time, or back. */
  set(aheadMs: number): void
  /** @returns the status */
  knock(localpart: string): Promise<number>
  /** That what was accepted is there, and has arrived an hour from now at the latest. */
  expectAllWell(): Promise<void>
}

async function startWithClock(limits: Record<string, unknown> = {}): Promise<Timed> {
  const scene = await setScene()
  const { room, remote, resident, authority, neighbour } = scene
  const directory = await mkdtemp(join(tmpdir(), 'matrix-knock-clock-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const at = (name: string): string => join(directory, name)
  await writeFile(at('signing.key'), signingKeyLine(resident), { mode: 0o600 })
  await writeFile(at('ca.pem'), authority.cert)
  await writeFile(at('room.json'), JSON.stringify(room.importFile()))
  const config = configSchema.parse({
    server_name: resident.name,
    signing_key_path: at('signing.key'),
    listen: { port: 0 },
    admin: { port: 0 },
    store: { kind: 'sqlite', path: at('knock.db') },
    homeserver: { handover: 'none' },
    federation: { ca_path: [at('ca.pem')], ip_range_allowlist: ['127.0.0.0/8', '::1/128'] },
    limits,
  })
  const files = await loadOperatorFiles(config)
  if (!files.ok) throw new Error(files.problems.map(({ what }) => what).join('; '))
  let ahead = 0
  const clock = () => Date.now() + ahead
  const store = await openConfiguredStore(config, clock, () => undefined)
  const how = { discardKnocks: false, tolerance: 'refuse' } as const
  const order = { config, files: files.value, store, file: at('room.json'), ...how, clock }
  expect((await importConfiguredRoom(order)).kind).toBe('imported')
  const service = await startService({ config, files: files.value, store, logging: await openLog('silent'), clock })
  let running = true
  const stop = async () => {
    if (running) await service.stop()
    running = false
  }
  onTestFinished(stop)
  const reached = { port: Number(service.address.split(':').at(-1)), identity: resident }
  const accepted = new Map<string, string>()
  return {
    ...scene,
    service: reached,
    set(aheadMs) {
      ahead = aheadMs
    },
    async knock(localpart) {
      const event: SignedEvent = knockEvent(room, person(localpart, remote.identity))
      const { status } = await sendKnock(reached, remote.identity, room, event)
      if (status === 200) accepted.set(event.eventId, String(event.pdu.sender))
      return status
    },
    async expectAllWell() {
      // An hour is the longest that anybody waits by a clock that went back.
      await until('look at the clock', async () => ((await store.nextDue()) ?? 0) <= clock() + HOUR)
      ahead += HOUR
      await until('delivery', () => neighbour.received.flatMap(({ eventIds }) => eventIds).length >= accepted.size)
      await stop()
      const location = { kind: 'sqlite', path: at('knock.db') } as const
      await expectDelivered(neighbour, await expectWholeBooks({ location, room, imports: 1, accepted }))
    },
  }
}

describe('a clock that is set', () => {
  it('by days, ahead and back, makes no difference to knocks and their delivery', async () => {
    const { set, knock, expectAllWell } = await startWithClock()
    for (const [at, days] of [0, 1, 3, 0, -1, -3, 2, 0].entries()) {
      set(days * DAY)
      expect(await knock(`day${at}`), `${days} days`).toBe(200)
    }
    await expectAllWell()
  })

  it('by a year, and right again, keeps nobody out who is welcome', async () => {
    const limits = { per_server: { knocks: 10, per_seconds: 3600 }, per_user: { knocks: 1, per_seconds: 60 } }
    const { set, knock, service, room, authority, introduce, expectAllWell } = await startWithClock(limits)
    const stranger = await startFakeHomeserver({ authority })
    onTestFinished(() => stranger.close())
    introduce([room])
    expect(await knock('before')).toBe(200)
    set(YEAR)
    stranger.keys = 'error'
    const asking = () => makeKnock(service, person('someone', stranger.identity), room)
    expect((await asking()).status).toBe(401)
    set(0)
    stranger.keys = 'good'
    expect(await knock('after')).toBe(200)
    await until('answer for the stranger', async () => (await asking()).status === 200, 60_000)
    set(-YEAR)
    // Its event says that it is of a year from now: nobody can have signed it yet.
    expect(await knock('too-early')).toBe(400)
    set(0)
    expect(await knock('at-last')).toBe(200)
    await expectAllWell()
  })

  it('back by three days frees those who had knocked too often, sooner than in three days', async () => {
    const limits = { per_server: { knocks: 2, per_seconds: 3600 } }
    const { set, knock, expectAllWell } = await startWithClock(limits)
    for (const localpart of ['one', 'two']) expect(await knock(localpart)).toBe(200)
    expect(await knock('three')).toBe(403)
    set(-3 * DAY)
    expect(await knock('three')).toBe(200)
    await expectAllWell()
  })

  it('while a server is away: what waits for it is sent within an hour by the new clock', async () => {
    const { set, knock, neighbour, expectAllWell } = await startWithClock()
    neighbour.transactions = 'error'
    expect(await knock('waiting')).toBe(200)
    await until('first attempt', () => neighbour.attempts.length > 0)
    set(-3 * DAY)
    expect(await knock('early')).toBe(200)
    neighbour.transactions = 'good'
    await expectAllWell()
  })
})
