import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import * as z from 'zod'
import { exposedSecrets } from '../../src/config/exposed-secrets.ts'
import { loadConfig } from '../../src/config/load-config.ts'
import { setting } from '../../src/config/setting.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'matrix-knock-secrets-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const PASSWORD = 'postgres://knock:hunter2@db.example/knock'

async function write(name: string, mode: number, content: object): Promise<string> {
  const path = join(directory, name)
  await writeFile(path, JSON.stringify(content))
  await chmod(path, mode)
  return path
}

async function warnings(files: readonly string[], environment: Record<string, string> = {}) {
  const loaded = await loadConfig(files, environment)
  if (!loaded.ok) throw new Error(loaded.problems.join('\n'))
  return loaded.warnings
}

const base = { server_name: 'resident.example' }

describe('a configuration file with a password in it', () => {
  it.each([
    [0o644, 1],
    [0o640, 1],
    [0o604, 1],
    [0o600, 0],
    [0o400, 0],
  ])('of mode %o has %i warnings, which name the file, the key and the remedy', async (mode, count) => {
    const path = await write('a.yaml', mode, { ...base, store: { kind: 'postgres', url: PASSWORD } })
    const told = await warnings([path])
    expect(told).toHaveLength(count)
    for (const line of told) {
      expect(line).toMatch(/^.*a\.yaml: store\.url .*chmod 600 .*a\.yaml/)
      expect(line).not.toContain('hunter2')
    }
  })

  it('is warned of for each of several files, and not for those that hold none', async () => {
    const first = await write('a.yaml', 0o644, { ...base, store: { kind: 'postgres', url: PASSWORD } })
    const second = await write('b.yaml', 0o644, { log: { level: 'info' } })
    const third = await write('c.yaml', 0o600, { store: { url: PASSWORD } })
    expect(await warnings([first, second, third])).toEqual([expect.stringMatching(/^.*a\.yaml: /)])
    // What a later file sets anew is in the first all the same.
    const other = await write('d.yaml', 0o644, { store: { url: 'postgres://knock@db.example/knock' } })
    expect(await warnings([first, other])).toEqual([expect.stringMatching(/^.*a\.yaml: /)])
  })

  it('is not where there is a URL without one, or where the environment holds it', async () => {
    const url = 'postgres://knock@db.example/knock?application_name=knock'
    const path = await write('a.yaml', 0o644, { ...base, store: { kind: 'postgres', url } })
    expect(await warnings([path])).toEqual([])
    expect(await warnings([path], { MATRIX_KNOCK__STORE__URL: PASSWORD })).toEqual([])
  })

  it('is one with the password among the parameters of the URL', async () => {
    const url = 'postgres://knock@db.example/knock?password=hunter2'
    const path = await write('a.yaml', 0o644, { ...base, store: { kind: 'postgres', url } })
    expect(await warnings([path])).toHaveLength(1)
  })

  it('is one with any text in a setting that says of itself that it is secret', async () => {
    const words = { description: 'A token.', allowed: 'a token', secret: true }
    const schema = z.strictObject({
      part: z.strictObject({ token: setting(z.string(), words) }).prefault({ token: '' }),
    })
    const path = await write('a.yaml', 0o644, {})
    expect(await exposedSecrets(schema, [{ path, tree: { part: { token: 'syt_abc' } } }])).toEqual([
      expect.stringMatching(/a\.yaml: part\.token .*chmod 600/),
    ])
    expect(await exposedSecrets(schema, [{ path, tree: { part: { token: '' } } }])).toEqual([])
  })
})
