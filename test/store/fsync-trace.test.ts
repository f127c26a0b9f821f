import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'

const PROGRAM = fileURLToPath(new URL('./sqlite/writer-program.ts', import.meta.url))
const KNOCKS = 5
/** What strace says of itself where it lost a thread while that ended: nothing is known of the program then. */
const TRACER_FAILED = /^strace: ptrace\(/m
const MOST_TRACES = 3
const canTrace = spawnSync('strace', ['-f', '-o', '/dev/null', 'true']).status === 0

/** What the log of one run shows, in order: the log file written, the log file synced, an answer given. */
type Step = 'write' | 'sync' | 'answer'

/** The system calls of a process that records knocks one after the other. */
function trace(traces = 1): readonly Step[] {
  const directory = mkdtempSync(join(tmpdir(), 'knock-trace-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  const log = join(directory, 'calls')
  const calls = 'trace=fsync,fdatasync,write,pwrite64,pwritev,writev'
  const program = [process.execPath, '--import', 'tsx', PROGRAM, 'knock', join(directory, 'knock.db'), String(KNOCKS)]
  const run = spawnSync('strace', ['-f', '-y', '-s', '64', '-e', calls, '-o', log, ...program])
  const errors = run.stderr.toString()
  if (TRACER_FAILED.test(errors) && traces < MOST_TRACES) return trace(traces + 1)
  expect(run.status, errors).toBe(0)
  return readSteps(readFileSync(log, 'utf8'))
}

/** A call that another thread interrupts in the log is over where it resumes. */
function readSteps(log: string): readonly Step[] {
  const unfinished = new Set<string>()
  return log.split('\n').flatMap((line): Step[] => {
    const thread = line.slice(0, line.indexOf(' '))
    if (/"answer \d+\\n"/.test(line)) return ['answer']
    if (/ p?writev?(64)?\(\d+<[^>]*-wal>/.test(line)) return ['write']
    if (/ f(data)?sync\(\d+<[^>]*-wal>.*unfinished/.test(line)) unfinished.add(thread)
    else if (/ f(data)?sync\(\d+<[^>]*-wal>\) += 0/.test(line)) return ['sync']
    else if (/<\.\.\. f(data)?sync resumed>.* = 0/.test(line) && unfinished.delete(thread)) return ['sync']
    return []
  })
}

function everyAnswerFollowsASync(): void {
  const steps = trace()
  const answers = steps.flatMap((step, at) => (step === 'answer' ? [at] : []))
  expect(answers).toHaveLength(KNOCKS)
  answers.forEach((at, index) => {
    const since = steps.slice(index === 0 ? 0 : (answers[index - 1] ?? 0) + 1, at)
    expect(since, `before answer ${index}`).toContain('write')
    expect(since.lastIndexOf('sync'), `before answer ${index}`).toBeGreaterThan(since.lastIndexOf('write'))
  })
}

describe('an answer means that the knock is on disk', () => {
  if (canTrace) {
    it('the log is written and synced before each answer', { timeout: 60_000 }, everyAnswerFollowsASync)
  } else {
    it('not run: no tracer', async ({ annotate }) => {
      console.warn('fsync-trace: not run, no tracer: strace is missing or may not trace')
      await annotate('not run: strace is missing or may not trace', 'warning')
    })
  }
})
