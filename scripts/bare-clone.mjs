/**
 * What the first command on a bare clone needs before it can do its work: packages and a build, where they are missing or
 * outdated. Plain JavaScript without imports from packages, because there are none yet.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Relative to ROOT. */
export const PROGRAM = 'dist/main.js'

const INSTALLED = 'node_modules/.package-lock.json'

/** Makes ROOT the working directory, with the packages of the lock file in it. Ends the process where that fails. */
export function installMissing() {
  process.chdir(ROOT)
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19)) {
    fail(`Node 20.19 or newer is needed; this is ${process.versions.node}.`)
  }
  if (modified(INSTALLED) >= modified('package-lock.json')) return
  console.log('Installing what is needed (npm ci) …')
  npm('ci', '--include=dev', '--no-audit', '--no-fund')
}

/** What the build is made of beside the source: the packages that are in it come from the lock file. */
const INGREDIENTS = ['package-lock.json', 'scripts/build.mjs', 'tsconfig.json', 'tsconfig.build.json']

/** Builds the program where something that it is made of is newer. */
export function buildOutdated() {
  if (existsSync(PROGRAM) && modified(PROGRAM) >= Math.max(newest('src'), ...INGREDIENTS.map(modified))) return
  console.log('Building the program (npm run build) …')
  npm('run', '--silent', 'build')
}

/** Runs npm and ends the process where it fails. */
export function npm(...args) {
  if (!succeeds('npm', args)) fail(`npm ${args.join(' ')} failed.`)
}

/** Runs a command of an installed package, or of the system. @returns whether it succeeded */
export function succeeds(command, args) {
  const options = { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'], shell: process.platform === 'win32' }
  return spawnSync(command, args, options).status === 0
}

export function fail(reason) {
  console.error(reason)
  process.exit(1)
}

function modified(path) {
  return existsSync(path) ? statSync(path).mtimeMs : 0
}

/** When a file in a folder was last changed; 0 where there is no folder, as in an installed package. */
function newest(folder) {
  if (!existsSync(folder)) return 0
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return Math.max(0, ...files.map((entry) => modified(`${entry.parentPath ?? entry.path}/${entry.name}`)))
}
