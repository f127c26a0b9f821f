/** A program that runs beside the tests: started, watched until it is ready, ended with the tests whatever happens. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

export interface Command {
  readonly program: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly cwd: string
}

export interface RunningProgram {
  /** What it has written so far, to both outputs. */
  log(): string
  /** Lets it stand still, with its connections open, until `resume`. */
  pause(): void
  resume(): void
  /** Ends it with SIGTERM, with SIGKILL where that takes too long. @returns the exit code, null where a signal ended it */
  stop(): Promise<number | null>
}

const READY_WITHIN_MS = 90_000
const STOPPED_WITHIN_MS = 20_000
const ASK_EVERY_MS = 50

/**
 * Starts a program and waits until `isReady` says so; an exception of `isReady` counts as no.
 * @throws Error with the last lines that it wrote, where it ends or is not ready within 90 s
 */
export async function startProgram(command: Command, isReady: () => Promise<boolean>): Promise<RunningProgram> {
  // The kernel ends the program with this process, even where this process is killed.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', command.program, ...command.args], {
    cwd: command.cwd,
    env: { ...process.env, ...command.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output: string[] = []
  child.on('error', (error) => output.push(String(error)))
  child.stdout.on('data', (chunk) => output.push(String(chunk)))
  child.stderr.on('data', (chunk) => output.push(String(chunk)))
  const running = {
    log: () => output.join(''),
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    stop: () => end(child),
  }
  const deadline = Date.now() + READY_WITHIN_MS
  while (!(await isReady().catch(() => false))) {
    if (hasEnded(child)) throw new Error(`${command.program} ended at once:\n${lastLines(output)}`)
    if (Date.now() > deadline) {
      await running.stop()
      throw new Error(`${command.program} was not ready in time:\n${lastLines(output)}`)
    }
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS))
  }
  return running
}

async function end(child: ChildProcess): Promise<number | null> {
  if (hasEnded(child)) return child.exitCode
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const killer = setTimeout(() => child.kill('SIGKILL'), STOPPED_WITHIN_MS)
  await ended
  clearTimeout(killer)
  return child.exitCode
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null
}

function lastLines(output: readonly string[]): string {
  return output.join('').trimEnd().split('\n').slice(-30).join('\n')
}
