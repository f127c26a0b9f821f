/** Builds the program once before the end-to-end tests, which talk to what operators run. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = fileURLToPath(new URL('../..', import.meta.url))

export async function setup(): Promise<void> {
  // A compiler error fails the run here, with the compiler's own words.
  await promisify(execFile)('npm', ['run', 'build'], { cwd: root }).catch((error: { stdout?: string }) => {
    throw new Error(`npm run build failed:\n${error.stdout ?? String(error)}`)
  })
}
