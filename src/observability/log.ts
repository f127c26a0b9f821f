/**
 * The log: one JSON object a line on standard output, written in the background, readable text on a terminal.
 * Nothing that people wrote goes in: no reason, no display name, no header, no key. Names and errors of other servers do,
 * and every character of them is seen.
 */
import { destination, type Logger, pino } from 'pino'
import { visible, visibleRecord } from './visible.ts'

export interface Log extends Logger {}

export interface OpenLog {
  readonly log: Log
  /** Writes a line that is there already, for what is logged so often that pino's work per line counts. */
  writeLine(json: string): void
  /** Writes out what is buffered. Synchronous, for the end of the process. */
  flush(): void
}

/** Lines are gathered up to this many bytes, or for a second. */
const BUFFER_BYTES = 8_192
const FLUSH_MS = 1_000
/** Where nobody reads the output, lines beyond this are dropped rather than kept in memory. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024

/** @param level of pino, or `silent` */
export async function openLog(level: string): Promise<OpenLog> {
  const options = { level, base: null, timestamp: () => `,"time":"${timestamp(Date.now())}"` }
  if (process.stdout.isTTY) {
    const { default: pretty } = await import('pino-pretty')
    const output = pretty({ colorize: true, sync: true })
    // The readable form shows what JSON has escaped: this has to be made visible before.
    return openThrough(
      (json) => void output.write(`${visibleRecord(json)}\n`),
      () => undefined,
    )
  }
  const output = destination({
    fd: 1,
    sync: false,
    minLength: BUFFER_BYTES,
    maxLength: MAX_WAITING_BYTES,
    periodicFlush: FLUSH_MS,
  })
  // A reader that went away must not end the service.
  output.on('error', () => undefined)
  return openThrough(
    (json) => void output.write(`${visible(json)}\n`),
    () => flush(output),
  )

  function openThrough(writeLine: OpenLog['writeLine'], flush: OpenLog['flush']): OpenLog {
    // A line of pino has its end already, and a fatal one is flushed at once.
    const stream = { write: (line: string) => writeLine(line.slice(0, -1)), flushSync: flush }
    return { log: pino(options, stream), writeLine, flush }
  }
}

let last = { now: 0, text: '' }

/** An instant as ISO 8601; many lines share a millisecond. @param now milliseconds since the epoch */
export function timestamp(now: number): string {
  if (last.now !== now) last = { now, text: new Date(now).toISOString() }
  return last.text
}

function flush(output: { flushSync(): void }): void {
  try {
    output.flushSync()
  } catch {
    // The output was closed, or never opened: there is nobody to tell.
  }
}
