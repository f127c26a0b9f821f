/** The file that a connection has open, and whether it is still the one that its path names. */
import { statSync } from 'node:fs'

/** Beside the database lies its log, without which the newest commits are gone. */
const PARTS = ['', '-wal']

/**
 * Remembers which file a path names now.
 * @returns a function that says why what is written no longer arrives there, or undefined where it does
 */
export function watchOpenFile(path: string): () => string | undefined {
  const opened = PARTS.map((suffix) => path + suffix).map((part) => ({ part, identity: identityOf(part) }))
  return () => {
    for (const { part, identity } of opened) {
      const now = identityOf(part)
      if (identity === undefined || now === identity) continue
      return `${part} was ${now === undefined ? 'removed' : 'replaced'} while it was in use: what is written no longer arrives there`
    }
    return undefined
  }
}

function identityOf(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false })
  return found && `${found.dev}:${found.ino}`
}
