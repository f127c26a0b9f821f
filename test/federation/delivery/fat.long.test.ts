/** Sixty knocks of 64 KB of the worst shape in a room of fifteen servers: what delivering them costs. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import type { UserId } from '../../../src/matrix/identifiers.ts'
import { openSqliteStore } from '../../../src/store/sqlite/sqlite-store.ts'
import { accept, importRoom, knock, member, sampleState } from '../../store/sample-room.ts'
import { createCertificateAuthority } from '../../support/certificates.ts'
import type { CrowdPlace, CrowdReport, CrowdSetUp } from './crowd-program.ts'
import type { FatOrder, FatReport } from './fat-program.ts'

const SERVERS = 15
const KNOCKS = 60
/** Nothing has more values for its bytes. */
const FAT = Array.from({ length: 21_600 }, () => ({}))

describe('large knocks of the worst shape', () => {
  const closing: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })

  function start(program: string): ChildProcess {
    const path = fileURLToPath(new URL(program, import.meta.url))
    const child = fork(path, { execArgv: ['--import', 'tsx'] })
    closing.push(() => child.kill())
    return child
  }

  it('G3 stop the event loop for no more than 50 ms at a time, and take no more than 150 MB', {
    timeout: 120_000,
  }, async () => {
    const names = Array.from({ length: SERVERS }, (_, at) => `s${at}.example.test`)
    const authority = createCertificateAuthority()
    const crowd = start('./crowd-program.ts')
    crowd.send({ certificate: authority.issue(['*.example.test']), names } satisfies CrowdSetUp)
    const [{ port, dns }] = (await once(crowd, 'message')) as [CrowdPlace]
    const directory = await mkdtemp(join(tmpdir(), 'knock-fat-'))
    closing.push(() => rm(directory, { recursive: true }))
    const path = join(directory, 'knock.db')
    const store = await openSqliteStore({ path, clock: Date.now })
    const crowded = names.map((name, at) => member(`m${at}`, `@m:${name}:${port}`, 'join'))
    await importRoom(store, { state: [...sampleState().slice(0, 4), ...crowded] })
    for (let at = 0; at < KNOCKS; at++) {
      const content = { membership: 'knock', fat: FAT }
      await accept(store, knock(`k${at}`, `@k${at}:remote.test` as UserId, ['bob'], { content }))
    }
    await store.close()

    const sender = start('./fat-program.ts')
    sender.send({ path, ca: authority.cert, dns } satisfies FatOrder)
    const [report] = (await once(sender, 'message')) as [FatReport]
    crowd.send('report')
    const [{ hosts }] = (await once(crowd, 'message')) as [CrowdReport]
    expect(report.problems).toEqual([])
    expect(report.delivered).toBe(SERVERS * KNOCKS)
    // Eight of them fit in 512 KiB.
    expect(hosts).toHaveLength(SERVERS * Math.ceil(KNOCKS / 8))
    expect(report.longestTurnMs).toBeLessThan(50)
    expect(report.rssGrowthMb).toBeLessThan(150)
  })
})
