/** Commands of the program, run in this process on a directory of their own, with what they print. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CommanderError } from 'commander'
import { visibleOutput } from '../../src/cli/outcome.ts'
import { createProgram } from '../../src/cli/program.ts'
import { createIdentity, type Identity, type JsonRecord, signingKeyLine } from '../support/signing.ts'

export interface Ran {
  readonly code: number | undefined
  readonly out: string
  readonly err: string
}

export interface Workplace {
  readonly directory: string
  readonly identity: Identity
  /** A path in the directory. */
  at(name: string): string
  /** Writes a configuration for SQLite, with changes by section, and returns its path. */
  configure(changes?: JsonRecord): Promise<string>
  run(...args: readonly string[]): Promise<Ran>
  remove(): Promise<void>
}

export async function openWorkplace(): Promise<Workplace> {
  const directory = await mkdtemp(join(tmpdir(), 'matrix-knock-cli-'))
  const at = (name: string): string => join(directory, name)
  const identity = createIdentity('resident.example', 'ed25519:a_1')
  return {
    directory,
    identity,
    at,
    async configure(changes = {}) {
      await writeFile(at('signing.key'), signingKeyLine(identity), { mode: 0o600 })
      const usual = {
        server_name: identity.name,
        signing_key_path: at('signing.key'),
        listen: { port: 0 },
        admin: { port: 0 },
        store: { kind: 'sqlite', path: at('knock.db') },
        homeserver: { handover: 'none' },
      }
      await writeFile(at('config.yaml'), JSON.stringify({ ...usual, ...changes }))
      return at('config.yaml')
    },
    run: runInProcess,
    remove: () => rm(directory, { recursive: true, force: true }),
  }
}

async function runInProcess(...args: readonly string[]): Promise<Ran> {
  const out: string[] = []
  const err: string[] = []
  let code: number | undefined
  const context = {
    output: visibleOutput({ out: (line) => void out.push(`${line}\n`), err: (line) => void err.push(`${line}\n`) }),
    environment: {},
    clock: Date.now,
  }
  const finish = (exitCode: number): void => {
    code = exitCode
  }
  try {
    await createProgram(context, '1.2.3', finish).parseAsync(['node', 'matrix-knock', ...args])
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    code = error.exitCode === 0 ? 0 : 2
  }
  return { code, out: out.join(''), err: err.join('') }
}
