/** Files that are generated: written, or with `--check` among the arguments only compared with what is there. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** @param path from the root of the project on */
export function bringUpToDate(path: string, text: string): void {
  const full = join(root, path)
  if (!process.argv.includes('--check')) {
    mkdirSync(dirname(full), { recursive: true })
    writeFileSync(full, text)
  } else if (textOf(full) !== text) complain(`${path} is not up to date; npm run generate writes it`)
}

/** Names something that is wrong; the script goes on, and fails at its end. */
export function complain(what: string): void {
  console.error(what)
  process.exitCode = 1
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
