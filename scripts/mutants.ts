/**
 * Mutation testing by seeded faults: each fault of test/mutants is put into a copy of the tree, and the tests of the
 * pure layer and of the use cases must notice. Fails where fewer than 85 % are noticed, where a fault no longer applies,
 * or where one goes unnoticed that docs/mutation-testing.md does not explain.
 *
 * Usage: npm run test:mutants [-- words of a fault's name]
 */
import { spawn } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

interface Fault {
  readonly name: string
  readonly file: string
  readonly search: string
  readonly replace: string
}

type Verdict = 'killed' | 'survived' | 'broken'

interface Outcome {
  readonly fault: Fault
  readonly verdict: Verdict
}

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const LEAST_KILLED = 0.85
const TIMEOUT_MS = 120_000
/** Tests without network, quick enough to be run once for each fault. */
const CONFIG = `import { defineConfig } from 'vitest/config'
export default defineConfig({ test: { include: ['test/matrix/**/*.test.ts', 'test/knock/**/*.test.ts'] } })
`
const SYNTAX_ERROR = /PARSE_ERROR|Transform failed|Parse failure|SyntaxError: (?!.*JSON)/

async function readFaults(words: string): Promise<readonly Fault[]> {
  const folder = join(ROOT, 'test/mutants')
  const files = (await readdir(folder)).filter((name) => name.endsWith('.json')).sort()
  const lists = await Promise.all(
    files.map(async (name) => JSON.parse(await readFile(join(folder, name), 'utf8')) as readonly Fault[]),
  )
  return lists.flat().filter(({ name }) => name.includes(words))
}

/** The file with the fault in it, or undefined where the place is not there exactly once. */
function seeded(source: string, { search, replace }: Fault): string | undefined {
  const parts = source.split(search)
  return parts.length === 2 ? parts.join(replace) : undefined
}

async function faultsThatDoNotApply(faults: readonly Fault[]): Promise<readonly string[]> {
  const checked = await Promise.all(
    faults.map(async (fault) => {
      const source = await readFile(join(ROOT, fault.file), 'utf8').catch(() => '')
      return seeded(source, fault) === undefined ? [`${fault.file}: ${fault.name}`] : []
    }),
  )
  return checked.flat()
}

async function createWorkspace(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mutants-'))
  for (const name of ['src', 'test', 'package.json', 'tsconfig.json']) {
    await cp(join(ROOT, name), join(folder, name), { recursive: true })
  }
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  await writeFile(join(folder, 'vitest.config.ts'), CONFIG)
  return folder
}

interface Run {
  readonly passed: boolean
  readonly output: string
}

/** Runs the tests that import the file, or all of them, up to the first failure. */
function runTests(folder: string, file?: string): Promise<Run> {
  const what = file === undefined ? ['run'] : ['related', file, '--run']
  const args = [join(ROOT, 'node_modules/vitest/vitest.mjs'), ...what, '--bail=1', '--no-isolate', '--reporter=dot']
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, {
      cwd: folder,
      env: { ...process.env, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: TIMEOUT_MS,
    })
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += String(chunk)
    })
    child.stderr.on('data', (chunk) => {
      output += String(chunk)
    })
    child.on('close', (code) => resolve({ passed: code === 0, output }))
  })
}

async function judge(folder: string, fault: Fault): Promise<Verdict> {
  const path = join(folder, fault.file)
  const source = await readFile(path, 'utf8')
  await writeFile(path, seeded(source, fault) ?? source)
  try {
    const { passed, output } = await runTests(folder, fault.file)
    if (SYNTAX_ERROR.test(output)) return 'broken'
    return passed ? 'survived' : 'killed'
  } finally {
    await writeFile(path, source)
  }
}

async function judgeAll(folders: readonly string[], faults: readonly Fault[]): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = []
  const queue = [...faults]
  const work = async (folder: string) => {
    for (let fault = queue.shift(); fault !== undefined; fault = queue.shift()) {
      const verdict = await judge(folder, fault)
      outcomes.push({ fault, verdict })
      console.log(`${verdict.padEnd(8)} ${basename(fault.file)}: ${fault.name}`)
    }
  }
  await Promise.all(folders.map(work))
  return outcomes
}

/** Prints the count and what is wrong; the exit code. */
function report(outcomes: readonly Outcome[], explained: string): number {
  const named = (verdict: Verdict) => outcomes.filter((outcome) => outcome.verdict === verdict)
  const killed = named('killed').length
  const share = killed / outcomes.length
  const unexplained = named('survived').filter(({ fault }) => !explained.includes(fault.name))
  console.log(`\n${killed} of ${outcomes.length} faults killed (${(share * 100).toFixed(1)} %)`)
  for (const { fault } of named('broken')) console.log(`broken, so it proves nothing: ${fault.file}: ${fault.name}`)
  for (const { fault } of unexplained) console.log(`survived without a reason given: ${fault.file}: ${fault.name}`)
  return share >= LEAST_KILLED && unexplained.length === 0 && named('broken').length === 0 ? 0 : 1
}

async function main(): Promise<number> {
  const faults = await readFaults(process.argv.slice(2).join(' '))
  const stale = await faultsThatDoNotApply(faults)
  if (stale.length > 0 || faults.length === 0) {
    console.log(['These faults do not apply to the source as it stands:', ...stale].join('\n  '))
    return 1
  }
  const count = Math.max(1, Math.min(4, Math.floor(availableParallelism() / 2), faults.length))
  const folders = await Promise.all(Array.from({ length: count }, createWorkspace))
  try {
    const baseline = await runTests(folders[0] ?? '')
    if (!baseline.passed) {
      console.log(`The tests fail without any fault:\n${baseline.output}`)
      return 1
    }
    const explained = await readFile(join(ROOT, 'docs/mutation-testing.md'), 'utf8').catch(() => '')
    return report(await judgeAll(folders, faults), explained)
  } finally {
    for (const folder of folders) await rm(folder, { recursive: true, force: true })
  }
}

process.exitCode = await main()
