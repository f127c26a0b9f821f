/**
 * Writes test/spec/README.md: which tests hold which line of what the service must do. Fails where a line has no test.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { promisify } from 'node:util'
import { ACCEPTANCE } from '../test/spec/acceptance-lines.ts'
import { createSpecMap, type ListedTest } from '../test/spec/spec-map.ts'
import { bringUpToDate, complain, root } from './generated-file.ts'

/** The projects of `npm test` and of `npm run test:faults`. */
const PROJECTS = ['unit', 'postgres', 'e2e', 'faults']

const { page, untested, unknown } = createSpecMap(ACCEPTANCE, await listTests())
bringUpToDate('test/spec/README.md', page)
for (const id of untested) complain(`${id} has no test: no title carries its id`)
for (const title of unknown) complain(`there is no line ${title}`)

/** Every test of those projects with its full title, tables written out, as the runner itself knows them. */
async function listTests(): Promise<readonly ListedTest[]> {
  const directory = await mkdtemp(join(tmpdir(), 'matrix-knock-tests-'))
  try {
    const list = join(directory, 'tests.json')
    const vitest = join(root, 'node_modules/vitest/vitest.mjs')
    const projects = PROJECTS.flatMap((name) => ['--project', name])
    const command = [vitest, 'list', ...projects, `--json=${list}`, '--includeTaskLocation']
    await promisify(execFile)(process.execPath, command, { cwd: root, maxBuffer: 64 * 1024 * 1024 })
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
