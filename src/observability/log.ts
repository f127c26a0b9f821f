/**
 * The log: one JSON object a line on standard output, written in the background, readable text on a terminal.
 * Nothing that people wrote goes in: no reason, no display name, no header, no key.
 */
import { destination, type Logger, pino } from 'pino'

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
    return { log: pino(options, output), writeLine: (json) => output.write(`${json}\n`), flush: () => undefined }
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
  return { log: pino(options, output), writeLine: (json) => output.write(`${json}\n`), flush: () => flush(output) }
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
