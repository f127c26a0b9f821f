/** `matrix-knock run` from source, as a process of its own. */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export interface RunningProcess {
  readonly child: ChildProcess
  /** What it has written so far, to standard output and error. */
  output(): string
  /** The members of its `listening` line, once it is there. */
  listening(): Promise<{ readonly port: number; readonly adminPort: number }>
  /** Sends the signal and waits. @returns the exit code */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

const root = fileURLToPath(new URL('../..', import.meta.url))
const STARTED_WITHIN_MS = 15_000

/** @param sockets file descriptors that the process gets as 3, 4, … */
export function startProcess(config: string, sockets: readonly number[] = []): RunningProcess {
  const stdio: StdioOptions = ['ignore', 'pipe', 'pipe', ...sockets]
  const args = ['--import', 'tsx', 'src/main.ts', 'run', '-c', config]
  const child = spawn(process.execPath, args, { cwd: root, stdio })
  const chunks: string[] = []
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => chunks.push(String(chunk)))
  const output = (): string => chunks.join('')
  return {
    child,
    output,
    async listening() {
      const deadline = Date.now() + STARTED_WITHIN_MS
      while (child.exitCode === null && Date.now() < deadline) {
        const found = /"address":"[^"]*:(\d+)","admin":"[^"]*:(\d+)"/.exec(output())
        if (found !== null) return { port: Number(found[1]), adminPort: Number(found[2]) }
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      throw new Error(`it does not listen: ${output()}`)
    },
    async stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = once(child, 'exit')
        child.kill(signal)
        await ended
      }
      return child.exitCode
    },
  }
}
