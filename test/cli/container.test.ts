import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, copyFile, cp, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePorts } from '../support/service-process.ts'
import { openWorkplace, type Workplace } from './program-fixture.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** A uid without a name on most systems, as `docker run --user` may give it. */
const UID = 54_321
const isRoot = process.getuid?.() === 0

/** What the image needs of package-lock.json: which packages `npm prune --omit=dev` leaves. */
interface Lock {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>
}

/** There is no container engine in the tests: these are the parts of the image, each by itself. */
describe('the container', { timeout: 60_000 }, () => {
  let image: string
  let volume: Workplace
  let dockerfile: readonly string[]

  beforeAll(async () => {
    dockerfile = (await readFile(join(root, 'Dockerfile'), 'utf8')).replaceAll('\\\n', ' ').split('\n')
    volume = await openWorkplace()
    image = await mkdtemp(join(tmpdir(), 'matrix-knock-image-'))
    await chmod(image, 0o755)
    await copyFile(join(root, 'package.json'), join(image, 'package.json'))
    await copyPackages()
    const build = ['scripts/build.mjs', '--out', join(image, 'dist')]
    await promisify(execFile)(process.execPath, build, { cwd: root })
  }, 60_000)
  afterAll(async () => {
    await volume?.remove()
    await rm(image, { recursive: true, force: true })
  })

  /** Copies, since another user may be unable to enter the directory that this project is in. */
  async function copyPackages(): Promise<void> {
    const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as Lock
    const directories = Object.keys(lock.packages).filter((path) => path !== '' && !lock.packages[path]?.dev)
    for (const path of directories) await cp(join(root, path), join(image, path), { recursive: true })
  }

  /** The words of an instruction in JSON form: `CMD ["run", "-c", "/data/config.yaml"]`. */
  function words(instruction: string): readonly string[] {
    const line = dockerfile.findLast((candidate) => candidate.trimStart().startsWith(instruction)) ?? ''
    return JSON.parse(line.slice(line.indexOf('['))) as readonly string[]
  }

  /** Paths in the image and in its volume as they are here. */
  const here = (word: string): string =>
    word.replace(/^\/app\//, `${image}/`).replace(/^\/data\//, `${volume.directory}/`)

  it('is nobody special, keeps its data in a volume, and checks its health', () => {
    expect(dockerfile).toContain('USER 10001:0')
    expect(dockerfile).toContain('VOLUME /data')
    expect(dockerfile.some((line) => /^FROM node:\S+-slim$/.test(line))).toBe(true)
    expect(words('ENTRYPOINT')).toEqual(['node', '/app/dist/main.js'])
    expect(dockerfile.find((line) => line.startsWith('HEALTHCHECK'))).toContain('"health"')
  })

  it('is built from what is sent to the engine, and nothing of that is missing', async () => {
    const sent = (await readFile(join(root, '.dockerignore'), 'utf8')).split('\n')
    const copied = dockerfile
      .filter((line) => line.startsWith('COPY ') && !line.includes('--from='))
      .flatMap((line) => line.split(/\s+/).slice(1, -1))
    expect(copied.length).toBeGreaterThan(3)
    expect(sent[0]).toBe('*')
    expect(copied.filter((path) => !sent.includes(`!${path}`))).toEqual([])
    for (const path of copied) await expect(stat(join(root, path))).resolves.toBeDefined()
  })

  it('runs as any uid, writes in its volume alone, and its health check reaches the configured admin address', async () => {
    const [port = 0, adminPort = 0] = await freePorts(2)
    await volume.configure({ listen: { port }, admin: { port: adminPort } })
    await giveAway(volume.directory)
    const before = await scratch()
    const [, ...program] = words('ENTRYPOINT').map(here)
    const identity = isRoot ? { uid: UID, gid: 0 } : {}
    const environment = { PATH: process.env.PATH, NODE_ENV: 'production', TMPDIR: '/nowhere' }
    const options = { cwd: '/', env: environment, ...identity }
    const service = spawn(process.execPath, [...program, ...words('CMD').map(here)], { ...options, stdio: 'pipe' })
    const output: string[] = []
    for (const stream of [service.stdout, service.stderr]) stream.on('data', (chunk) => output.push(String(chunk)))
    try {
      await expect.poll(() => output.join(''), { timeout: 15_000 }).toContain('"listening"')
      const health = dockerfile.find((line) => line.startsWith('HEALTHCHECK')) ?? ''
      const check = (JSON.parse(health.slice(health.indexOf('['))) as string[]).slice(1).map(here)
      const { stdout } = await promisify(execFile)(process.execPath, check, options)
      expect(stdout).toContain(`http://127.0.0.1:${adminPort}/health answers 200`)
      service.kill('SIGTERM')
      await once(service, 'exit')
      expect(service.exitCode).toBe(0)
      await expect(promisify(execFile)(process.execPath, check, options)).rejects.toMatchObject({ code: 1 })
    } finally {
      service.kill('SIGKILL')
    }
    expect(await readdir(volume.directory)).toContain('knock.db')
    expect((await stat(volume.at('knock.db'))).uid).toBe(isRoot ? UID : process.getuid?.())
    expect((await scratch()).filter((name) => !before.includes(name))).toEqual([])
  })

  async function giveAway(directory: string): Promise<void> {
    if (!isRoot) return
    for (const name of await readdir(directory)) await chown(join(directory, name), UID, 0)
    await chown(directory, UID, 0)
  }

  /** What the service's user owns where everybody may write. */
  async function scratch(): Promise<readonly string[]> {
    const owner = isRoot ? UID : -1
    const found: string[] = []
    for (const directory of ['/tmp', '/var/tmp', '/dev/shm']) {
      for (const name of await readdir(directory).catch(() => [])) {
        const path = join(directory, name)
        const owned = await stat(path).catch(() => undefined)
        if (owned?.uid === owner && path !== volume.directory) found.push(path)
      }
    }
    return found
  }
})
