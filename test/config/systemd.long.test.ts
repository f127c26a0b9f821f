import { execFile } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'

const units = fileURLToPath(new URL('../../config/', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'matrix-knock-units-'))
const service = join(directory, 'matrix-knock.service')
const socket = join(directory, 'matrix-knock.socket')
// systemd looks for the program and the page that the unit names; here they are elsewhere.
const installed = readFileSync(join(units, 'matrix-knock.service'), 'utf8')
writeFileSync(service, installed.replace('/usr/bin/node', process.execPath))
copyFileSync(join(units, 'matrix-knock.socket'), socket)
const analyze = (...args: readonly string[]) => promisify(execFile)('systemd-analyze', args)

afterAll(() => rmSync(directory, { recursive: true }))

describe('the units for systemd', () => {
  it('are what systemd can read, without a warning', async () => {
    expect(await analyze('verify', service, socket)).toEqual({ stdout: '', stderr: '' })
  })

  it('expose less than 2.0, as systemd counts it', async () => {
    // In tenths; beyond it the command fails.
    const { stdout } = await analyze('security', '--offline=true', '--threshold=19', service)
    expect(stdout).toContain('Overall exposure level')
  })
})
