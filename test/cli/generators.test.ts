import { readFile, stat, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { parseSigningKeyFile } from '../../src/matrix/signing-key-file.ts'
import { openWorkplace, type Workplace } from './program-fixture.ts'

let work: Workplace
beforeEach(async () => {
  work = await openWorkplace()
})
afterEach(() => work.remove())

describe('generate-key', () => {
  it('writes a new key each time, that its owner alone can read', async () => {
    const [first, second] = [work.at('keys/one.key'), work.at('two.key')]
    expect(await work.run('generate-key', '-o', first)).toEqual({ code: 0, out: '', err: '' })
    expect((await work.run('generate-key', '--output', second)).code).toBe(0)
    expect((await stat(first)).mode & 0o777).toBe(0o600)
    const texts = [await readFile(first, 'utf8'), await readFile(second, 'utf8')]
    expect(texts[0]).toMatch(/^ed25519 a_[A-Za-z]{4} [A-Za-z0-9+/]{43}\n$/)
    expect(texts.map((text) => parseSigningKeyFile(text).ok)).toEqual([true, true])
    expect(texts[0]).not.toBe(texts[1])
  })

  it('writes to standard output without -o', async () => {
    const { code, out } = await work.run('generate-key')
    expect(code).toBe(0)
    expect(parseSigningKeyFile(out).ok).toBe(true)
  })

  it('never touches an existing file without --overwrite', async () => {
    const path = work.at('signing.key')
    await writeFile(path, 'precious', { mode: 0o644 })
    const refused = await work.run('generate-key', '-o', path)
    expect(refused).toMatchObject({ code: 1, out: '', err: expect.stringContaining('--overwrite') })
    expect(await readFile(path, 'utf8')).toBe('precious')
    expect((await work.run('generate-key', '-o', path, '--overwrite')).code).toBe(0)
    expect(await readFile(path, 'utf8')).toMatch(/^ed25519 /)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
  })
})

describe('generate-config', () => {
  it('writes the sample, which check-config takes once there is a key', async () => {
    const path = work.at('config.yaml')
    expect(await work.run('generate-config', '-o', path)).toEqual({ code: 0, out: '', err: '' })
    const paths = { signing_key_path: work.at('signing.key'), store: { path: work.at('knock.db') } }
    await writeFile(work.at('paths.yaml'), JSON.stringify(paths))
    const both = ['-c', path, '-c', work.at('paths.yaml')]
    expect((await work.run('check-config', ...both)).code).toBe(78)
    await work.run('generate-key', '-o', work.at('signing.key'))
    expect(await work.run('check-config', ...both)).toMatchObject({ code: 0, err: '' })
  })

  it('writes to standard output without -o, and never over a file', async () => {
    const { code, out } = await work.run('generate-config')
    expect([code, (parse(out) as { server_name: string }).server_name]).toEqual([0, 'example.org'])
    await writeFile(work.at('config.yaml'), 'mine')
    expect((await work.run('generate-config', '-o', work.at('config.yaml'))).code).toBe(1)
    expect(await readFile(work.at('config.yaml'), 'utf8')).toBe('mine')
  })

  it('says so where it cannot write', async () => {
    await writeFile(work.at('file'), '')
    const { code, err } = await work.run('generate-config', '-o', work.at('file/config.yaml'))
    expect([code, err]).toEqual([1, expect.stringContaining('cannot be written')])
  })
})
