import { execFile } from 'node:child_process'
import { chmod, link, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { writeNewFile } from '../../src/cli/write-file.ts'
import { buildRoom, opening, person } from '../support/test-room.ts'
import { openWorkplace, type Ran, type Workplace } from './program-fixture.ts'

let work: Workplace
beforeEach(async () => {
  work = await openWorkplace()
})
afterEach(() => work.remove())

const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777

let stored: { readonly of: Workplace; readonly config: string; readonly roomId: string } | undefined

/** A room in the store of the workplace, imported once. */
async function storedRoom(): Promise<{ readonly config: string; readonly roomId: string }> {
  if (stored?.of === work) return stored
  const config = await work.configure()
  const alice = person('alice', work.identity)
  const room = buildRoom('11', alice, opening(alice, '11'))
  await writeFile(work.at('room.json'), JSON.stringify(room.importFile()))
  await work.run('rooms', 'import', work.at('room.json'), '-c', config)
  stored = { of: work, config, roomId: room.roomId }
  return stored
}

/** Every command that writes a file, with the permissions of its files. */
const WRITERS: readonly [string, number, (path: string, ...more: string[]) => Promise<Ran>][] = [
  ['generate-key', 0o600, (path, ...more) => work.run('generate-key', '-o', path, ...more)],
  ['generate-config', 0o644, (path, ...more) => work.run('generate-config', '-o', path, ...more)],
  [
    'generate-registration',
    0o600,
    async (path, ...more) => {
      const homeserver = { handover: 'inject', url: 'http://127.0.0.1:8008', appservice: {} }
      return work.run('generate-registration', '-c', await work.configure({ homeserver }), '-o', path, ...more)
    },
  ],
  [
    'generate-proxy',
    0o644,
    async (path, ...more) => {
      const config = await work.configure({ listen: { port: 8450 } })
      return work.run('generate-proxy', 'nginx', '-c', config, '-o', path, ...more)
    },
  ],
  [
    'rooms export',
    0o600,
    async (path, ...more) => {
      const { config, roomId } = await storedRoom()
      return work.run('rooms', 'export', roomId, '-c', config, '-o', path, ...more)
    },
  ],
]

describe.each(WRITERS)('%s --overwrite', { timeout: 120_000 }, (_, mode, write) => {
  it('puts a new file in the place of the former, with the permissions of a new one', async () => {
    const [path, other] = [work.at('out'), work.at('other-name')]
    await writeFile(path, 'former')
    await chmod(path, 0o666)
    await link(path, other)
    expect(await write(path, '--overwrite')).toMatchObject({ code: 0, err: '' })
    // Who has the former open, or knows it by another name, keeps it as it was.
    expect(await readFile(other, 'utf8')).toBe('former')
    expect(await readFile(path, 'utf8')).not.toBe('former')
    const umask = process.umask()
    expect(await modeOf(path)).toBe(mode & ~umask)
    expect((await readdir(work.directory)).filter((name) => name.startsWith('.'))).toEqual([])
  })

  it('follows no link, and says so', async () => {
    const [path, behind] = [work.at('out'), work.at('behind')]
    await writeFile(behind, 'precious')
    await symlink(behind, path)
    for (const options of [['--overwrite'], []]) {
      const { code, err } = await write(path, ...options)
      expect([code, err]).toEqual([1, expect.stringContaining('symbolic link')])
    }
    expect(await readFile(behind, 'utf8')).toBe('precious')
    const dangling = work.at('dangling')
    await symlink(work.at('nowhere'), dangling)
    expect((await write(dangling, '--overwrite')).code).toBe(1)
    expect(await readdir(work.directory)).not.toContain('nowhere')
  })

  it('ends at once where there is something else than a file', async () => {
    await promisify(execFile)('mkfifo', [work.at('pipe')])
    await mkdir(work.at('directory'))
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(work.at('socket'), resolve))
    try {
      for (const [path, kind] of [
        [work.at('pipe'), 'a pipe'],
        [work.at('directory'), 'a directory'],
        [work.at('socket'), 'a socket'],
        ['/dev/null', 'a device'],
      ] as const) {
        const { code, err } = await write(path, '--overwrite')
        expect([code, err]).toEqual([1, expect.stringContaining(`${path} is ${kind}`)])
      }
      expect((await write(work.at('pipe'))).code).toBe(1)
    } finally {
      server.close()
    }
  })

  it('ends at once where the system makes no files', async () => {
    for (const path of ['/proc/none/deeper/out', '/proc/self/out', '/proc/self/fdinfo/none/out']) {
      const { code, err } = await write(path, '--overwrite')
      expect([code, err]).toEqual([1, expect.stringContaining(`${path} cannot be written`)])
    }
  })
})

describe('a file that is written', () => {
  it('is the former one until the new one is whole', async () => {
    const path = work.at('out')
    await writeFile(path, 'former')
    const seen: string[] = []
    async function* slowly(): AsyncGenerator<string, void> {
      yield 'half'
      seen.push(await readFile(path, 'utf8'))
      yield ' and half'
      seen.push(await readFile(path, 'utf8'))
    }
    const output = { out: () => undefined, err: () => undefined }
    expect(await writeNewFile({ path, chunks: slowly(), mode: 0o600, overwrite: true }, output)).toBe(0)
    expect(seen).toEqual(['former', 'former'])
    expect(await readFile(path, 'utf8')).toBe('half and half')
  })

  it.each([[true], [false]])('is not there when it could not be finished (overwrite: %s)', async (overwrite) => {
    const path = work.at('out')
    if (overwrite) await writeFile(path, 'former')
    const before = await readdir(work.directory)
    async function* broken(): AsyncGenerator<string, void> {
      yield 'half'
      throw new Error('the store is lost')
    }
    const told: string[] = []
    const output = { out: () => undefined, err: (line: string) => void told.push(line) }
    expect(await writeNewFile({ path, chunks: broken(), mode: 0o600, overwrite }, output)).toBe(1)
    expect(told).toEqual([`${path} cannot be written: the store is lost`])
    expect(await readdir(work.directory)).toEqual(before)
    if (overwrite) expect(await readFile(path, 'utf8')).toBe('former')
  })
})
