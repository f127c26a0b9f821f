/** Modules of the benchmark that run as processes of their own and are spoken to over a channel. */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { own } from './owned.ts'

/** Starts a module; it ends when the channel closes. @param path from this folder on */
export function forkTypeScript(path: string): ChildProcess {
  return own(forkUntilDisconnected(path))
}

/** Starts a module that has to tidy up when the channel closes: it is never killed before it has. */
export function forkUntilDisconnected(path: string): ChildProcess {
  const file = fileURLToPath(new URL(path, import.meta.url))
  return fork(file, { execArgv: ['--import', 'tsx'], serialization: 'advanced' })
}

/** The next message. @throws Error where the process ends before */
export function answerOf<Message>(child: ChildProcess): Promise<Message> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new Error(`${child.spawnargs.at(-1)} ended with ${code}`))
    child.once('exit', ended)
    child.once('message', (message) => {
      child.off('exit', ended)
      resolve(message as Message)
    })
  })
}
