/**
 * `npm start`: installs and builds what is missing or outdated, makes a key and a configuration under ./data if there are
 * none, and runs the service. Nothing that is there is ever overwritten.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { buildOutdated, installMissing, PROGRAM } from './bare-clone.mjs'

const CONFIG = 'data/config.yaml'
const KEY = 'data/signing.key'
/** For trials: a real deployment has its homeserver's name and key. */
const TRIAL_NAME = 'localhost:8450'

installMissing()
buildOutdated()
const isNew = prepareData()
const summary = check()
introduce()
run()

/** @returns whether there was no configuration before */
function prepareData() {
  mkdirSync('data', { recursive: true })
  if (!existsSync(KEY)) {
    program('generate-key', '-o', KEY)
    console.log(`${KEY}: a new signing key, readable by you alone.`)
  }
  if (existsSync(CONFIG)) return false
  const name = process.env.MATRIX_KNOCK_SERVER_NAME ?? TRIAL_NAME
  const sample = program('generate-config').replace(/^server_name: .*$/m, `server_name: ${JSON.stringify(name)}`)
  writeFileSync(CONFIG, sample, { flag: 'wx' })
  console.log(`${CONFIG}: a new configuration, for ${name}.`)
  return true
}

/** Ends here, with the program's own words and exit code, where the configuration is wrong. */
function check() {
  return program('check-config', '-c', CONFIG).trimEnd()
}

function introduce() {
  console.log(`\n${summary}\n`)
  console.log('What to do next:')
  if (isNew) {
    console.log(`  - put your homeserver's name into ${CONFIG} and its signing key into ${KEY}, then start again`)
  }
  console.log(`  - bring in a room:   node ${PROGRAM} rooms import ROOM.json -c ${CONFIG}`)
  console.log(`  - look at it:        node ${PROGRAM} rooms list -c ${CONFIG}`)
  console.log('  - lead remote servers here: docs/reverse-proxy.md has the lines for nginx and Caddy')
  console.log('  - stop with Ctrl-C\n')
}

function run() {
  const child = spawn(process.execPath, [PROGRAM, 'run', '-c', CONFIG], { stdio: 'inherit' })
  // The terminal interrupts both; this waits for the service to finish what it is doing.
  process.on('SIGINT', () => undefined)
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  child.on('exit', (code) => process.exit(code ?? 1))
}

/** Runs a command of the program. @returns what it printed */
function program(...args) {
  const { status, stdout } = spawnSync(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  if (status !== 0) process.exit(status ?? 1)
  return String(stdout)
}
