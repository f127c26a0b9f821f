/**
 * Writes test/spec/README.md: which tests hold which line of what the service must do. With `--check` it writes nothing and
 * fails where the page is not up to date. Either way it fails where a line has no test.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { ACCEPTANCE } from '../test/spec/acceptance-lines.ts'
import { createSpecMap, type ListedTest } from '../test/spec/spec-map.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const PAGE = 'test/spec/README.md'

const map = createSpecMap(ACCEPTANCE, await listTests())
const problems = [
  ...map.untested.map((id) => `${id} has no test: no title carries its id`),
  ...map.unknown.map((title) => `there is no line ${title}`),
]
if (process.argv.includes('--check')) {
  const present = await readFile(join(root, PAGE), 'utf8').catch(() => '')
  if (present !== map.page) problems.push(`${PAGE} is not up to date; npm run generate writes it`)
} else {
  await writeFile(join(root, PAGE), map.page)
}
for (const problem of problems) console.error(problem)
process.exitCode = problems.length === 0 ? 0 : 1

/** Every test of both projects with its full title, tables written out, as the runner itself knows them. */
async function listTests(): Promise<readonly ListedTest[]> {
  const directory = await mkdtemp(join(tmpdir(), 'matrix-knock-tests-'))
  try {
    const list = join(directory, 'tests.json')
    const vitest = join(root, 'node_modules/vitest/vitest.mjs')
    await promisify(execFile)(process.execPath, [vitest, 'list', `--json=${list}`, '--includeTaskLocation'], {
      cwd: root,
      maxBuffer: 64 * 1024 * 1024,
    })
    const listed = JSON.parse(await readFile(list, 'utf8')) as readonly RunnerTest[]
    return listed.map(({ file, name, location }) => ({
      file: relative(join(root, 'test'), file),
      name,
      place: location && `${location.line}:${location.column}`,
    }))
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

interface RunnerTest {
  readonly name: string
  readonly file: string
  readonly location?: { readonly line: number; readonly column: number }
}
