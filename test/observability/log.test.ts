import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const ODD = 'a\u001b[31m\nb\u0085\u009b\u200e\u202e\u2028\u2067\ufeffc\ud800'
/** How the readable form colours its lines. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it is what is looked for
const COLOURS = /\x1b\[\d+m/g

/** What of it a text has as it is, but for the ends of lines. */
function unseenIn(text: string): readonly string[] {
  return [...ODD].filter((character) => !/[a-c\n[\dm]/.test(character) && text.includes(character)).map(escape)
}

/** What a process writes that logs a value, an error and a line that is there already. */
async function logged(onTerminal: boolean): Promise<string> {
  const module = JSON.stringify(new URL('../../src/observability/log.ts', import.meta.url).href)
  const program = `
    const odd = ${JSON.stringify(ODD)}
    process.stdout.isTTY = ${onTerminal}
    const { openLog } = await import(${module})
    const { log, writeLine, flush } = await openLog('info')
    log.warn({ reason: odd, nested: { list: [odd] } }, odd)
    log.error({ err: new Error(odd) }, 'failed')
    writeLine(JSON.stringify({ level: 30, room: odd, msg: 'answered' }))
    flush()`
  const args = ['--import', 'tsx', '--input-type=module', '-e', program]
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root })
  return stdout
}

describe('the log', () => {
  it('shows every character of its values, and each line is JSON of the same values', async () => {
    const text = await logged(false)
    expect(unseenIn(text)).toEqual([])
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines).toMatchObject([
      { reason: ODD, nested: { list: [ODD] }, msg: ODD },
      { err: { message: ODD, stack: expect.stringContaining(ODD) } },
      { room: ODD, msg: 'answered' },
    ])
  })

  it('does so on a terminal, where nothing passes for a line of its own', async () => {
    const text = (await logged(true)).replace(COLOURS, '')
    expect(unseenIn(text)).toEqual([])
    expect(text.split('\n').filter((line) => /^b/.test(line.trim()))).toEqual([])
    expect(text).toMatch(/a\\u001b\[31m\\u000ab\\u0085\\u009b\\u200e\\u202e\\u2028\\u2067\\ufeffc\\ud800/)
    expect(text).toMatch(/\n +at /)
  })
})
