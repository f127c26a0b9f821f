#!/usr/bin/env node
/** The program: arguments to commands, and exit codes. */
import { readFileSync } from 'node:fs'
import { CommanderError } from 'commander'
import { type ExitCode, errFault, visibleOutput } from './cli/outcome.ts'
import { createProgram } from './cli/program.ts'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }

const output = visibleOutput({
  out: (line) => void process.stdout.write(`${line}\n`),
  err: (line) => void process.stderr.write(`${line}\n`),
})

function finish(code: ExitCode): void {
  process.exitCode = code
}

// A reader that has seen enough (`rooms list | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})

// Node would print the message as it is. A running service logs it instead.
process.on('uncaughtException', (error) => {
  errFault(output, error)
  process.exit(1)
})

try {
  await createProgram({ output, environment: process.env, clock: Date.now }, version, finish).parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    // Help and version end with 0; everything else that commander ends is wrong usage, which it has explained.
    process.exitCode = error.exitCode === 0 ? 0 : 2
  } else {
    errFault(output, error)
    process.exitCode = 1
  }
}
