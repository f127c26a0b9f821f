/**
 * `npm run demo`: installs and builds what is missing, then tells the story of scripts/demo/story.ts.
 * Plain JavaScript without imports from anywhere, because on a bare clone there is nothing yet to import.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`Node 20.19 or newer is needed; this is ${process.versions.node}.`)
  process.exit(1)
}

if (!existsSync(new URL('../node_modules/.package-lock.json', import.meta.url))) {
  console.log('Installing what is needed (npm ci) …')
  npm('ci', '--include=dev', '--no-audit', '--no-fund')
}
console.log('Building the program (npm run build) …')
npm('run', '--silent', 'build')

const story = spawn(process.execPath, ['--import', 'tsx', 'scripts/demo/story.ts'], { cwd: root, stdio: 'inherit' })
// The terminal interrupts both; the story tidies up, and this waits for it.
process.on('SIGINT', () => undefined)
process.on('SIGTERM', () => story.kill('SIGTERM'))
story.on('exit', (code) => process.exit(code ?? 1))

function npm(...args) {
  const { status } = spawnSync('npm', args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    shell: process.platform === 'win32',
  })
  if (status !== 0) {
    console.error(`npm ${args[0]} failed.`)
    process.exit(1)
  }
}
