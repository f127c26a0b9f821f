import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { errFault, visibleOutput } from '../../src/cli/outcome.ts'
import { buildRoom, opening, person, sets, type TestRoom } from '../support/test-room.ts'
import { openWorkplace, type Workplace } from './program-fixture.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

const range = (first: number, last: number): string =>
  String.fromCodePoint(...Array.from({ length: last - first + 1 }, (_, at) => first + at))

const DIRECTIONS = `\u200e\u200f\u061c${range(0x202a, 0x202e)}${range(0x2066, 0x2069)}`
const WITHOUT_WIDTH = '\u00ad\u200b\u200c\u200d\u2060\ufeff\u{e0041}'
const HOSTILE = `${range(0, 0x1f)}${range(0x7f, 0x9f)}${DIRECTIONS}${WITHOUT_WIDTH}\u2028\u2029`
/** All of these, with what a terminal would do: another colour, the line written over, a title, the order turned. */
const NAME = `Garden ${HOSTILE}\u001b[31m\rno name\u009b0m\u202egpj.exe\u{1f331}é`

/** What of these a text has, but for the ends of its lines. */
function unseenIn(text: string): readonly string[] {
  return [...HOSTILE].filter((character) => character !== '\n' && text.includes(character)).map(escape)
}

const KNOCK = ['via', 'room', 'user', 'server-name', 'signing-key', 'listen', 'tls-cert', 'tls-key']

interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** The program itself, from source. @param preload a module that it imports before */
async function program(args: readonly string[], preload = ''): Promise<Ran> {
  const first = `data:text/javascript,${encodeURIComponent(preload)}`
  const child = spawn(process.execPath, ['--import', first, '--import', 'tsx', 'src/main.ts', ...args], { cwd: root })
  const [out, err]: string[][] = [[], []]
  child.stdout.setEncoding('utf8').on('data', (chunk) => out?.push(chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk) => err?.push(chunk))
  const [code] = await once(child, 'close')
  return { code, out: out?.join('') ?? '', err: err?.join('') ?? '' }
}

describe('what operators see of names that strangers chose', { timeout: 120_000 }, () => {
  let work: Workplace
  let config: string
  let room: TestRoom
  beforeAll(async () => {
    work = await openWorkplace()
    config = await work.configure()
    const alice = person('alice', work.identity)
    room = buildRoom('11', alice, [...opening(alice, '11'), sets(alice, 'm.room.name', { name: NAME })])
    await writeFile(work.at('room.json'), JSON.stringify(room.importFile()))
    expect((await work.run('rooms', 'import', work.at('room.json'), '-c', config)).code).toBe(0)
  })
  afterAll(() => work.remove())

  it.each([[['list']], [['show', '!']]])(
    'rooms %j has one line for people, and shows every character',
    async (args) => {
      const words = args.map((word) => (word === '!' ? room.roomId : word))
      const { code, out } = await program(['rooms', ...words, '-c', config])
      expect([code, unseenIn(out)]).toEqual([0, []])
      expect(out.split('\n').filter((line) => line.includes('no name'))).toHaveLength(1)
      expect(out).toContain('\u{1f331}é')
    },
  )

  it.each([[['list', '--json']], [['show', '!', '--json']], [['export', '!']]])(
    'rooms %j is JSON of the same values, and shows every character',
    async (args) => {
      const words = args.map((word) => (word === '!' ? room.roomId : word))
      const { code, out } = await program(['rooms', ...words, '-c', config])
      expect([code, unseenIn(out)]).toEqual([0, []])
      expect(JSON.stringify(JSON.parse(out))).toContain(JSON.stringify(NAME))
    },
  )

  it('a file that is exported is what would be shown', async () => {
    const path = work.at('copy.json')
    expect((await work.run('rooms', 'export', room.roomId, '-o', path, '-c', config)).code).toBe(0)
    const text = await readFile(path, 'utf8')
    expect(unseenIn(text)).toEqual([])
    expect(JSON.stringify(JSON.parse(text))).toContain(JSON.stringify(NAME))
  })

  it.each([
    ['a command that there is not', ['roo\u001b[31ms\u202e']],
    ['an argument of a command', ['rooms', 'show', '!a\u009b31m\u202e', '-c', '%']],
    ['an option', ['knocks', 'list', '--limit', '\u001b]0;title\u0007', '-c', '%']],
    ['an option of knock', ['knock', ...KNOCK.flatMap((option) => [`--${option}`, 'x\u202e'])]],
    ['a path', ['check-config', '-c', '/none/\u001b[2J\u2067.yaml']],
    ['a path to write to', ['generate-config', '-o', '/proc/none/\u001b[2J\u2067.yaml']],
  ])('so is %s in what is said of it', async (_, args) => {
    const { code, out, err } = await program(args.map((word) => (word === '%' ? config : word)))
    expect(code).not.toBe(0)
    expect(unseenIn(out + err)).toEqual([])
    expect(err).toMatch(/\\u00[0-9a-f]{2}|\\u20[0-9a-f]{2}/)
  })

  it.each([
    ['that nobody caught', 'setImmediate(() => { throw new Error("odd\\u001b[31m\\nthing\\u202e") })'],
    ['that no promise caught', 'setImmediate(() => Promise.reject(new Error("odd\\u001b[31m\\nthing\\u202e")))'],
  ])('so is an exception %s', async (_, fault) => {
    // In the midst of its work: when it writes something.
    const preload = `
      const write = process.stdout.write
      process.stdout.write = function (...text) { ${fault}; return write.apply(this, text) }
      setInterval(() => undefined, 1000)`
    const { code, err } = await program(['--version'], preload)
    expect([code, unseenIn(err)]).toEqual([1, []])
    expect(err).toMatch(/^Error: odd\\u001b\[31m\\u000athing\\u202e\n {4}at /m)
  })
})

describe('the way out', () => {
  function caught(): { readonly lines: string[]; readonly output: ReturnType<typeof visibleOutput> } {
    const lines: string[] = []
    return {
      lines,
      output: visibleOutput({ out: (line) => void lines.push(line), err: (line) => void lines.push(line) }),
    }
  }

  it('shows lone surrogates, and a line as one line', () => {
    const { lines, output } = caught()
    output.out('a\ud800b\udc00c\u{1f331}')
    output.err('first\nsecond\tthird')
    expect(lines).toEqual(['a\\ud800b\\udc00c\u{1f331}', 'first\\u000asecond\\u0009third'])
  })

  it('keeps the tabs that indent a line', () => {
    const { lines, output } = caught()
    output.out('\t\treverse_proxy')
    expect(lines).toEqual(['\t\treverse_proxy'])
  })

  it('shows the stack of a bug, whose message does not pass for a line of its own', () => {
    const { lines, output } = caught()
    errFault(output, new Error('odd\nwarning: all is well\u001b[0m'))
    expect(lines[0]).toBe('Error: odd\\u000awarning: all is well\\u001b[0m')
    expect(lines[1]).toMatch(/^ {4}at /)
  })

  it('is the only one: no command writes by itself, and JSON of several lines goes out line by line', async () => {
    const folder = `${root}/src/cli`
    const names = (await readdir(folder)).filter((name) => name.endsWith('.ts'))
    const texts = await Promise.all(
      names.map(async (name) => [name, await readFile(`${folder}/${name}`, 'utf8')] as const),
    )
    const past = texts.filter(([, text]) => /process\.std(?:out|err)\.write|console\.|out\(JSON\.stringify/.test(text))
    expect(past.map(([name]) => name)).toEqual([])
    expect(texts.length).toBeGreaterThan(20)
  })
})
