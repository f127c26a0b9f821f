/**
 * Installs the real programs that tests run: Synapse, Dendrite, nginx and the rule checker of Prometheus. What is there already
 * costs nothing; what cannot be had fails the run with its remedy, so that nothing counts as passed that did not run.
 */
import { execFile, spawn } from 'node:child_process'
import { access, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export const SYNAPSE_VERSION = '1.163.2'
/** The last under the Apache licence. */
export const DENDRITE_VERSION = '0.13.8'

const CACHE = fileURLToPath(new URL('../../../.cache/interop/', import.meta.url))
const CONSTRAINTS = fileURLToPath(new URL('./synapse-constraints.txt', import.meta.url))
const SYNAPSE = join(CACHE, `synapse-${SYNAPSE_VERSION}`)
const DENDRITE = join(CACHE, `dendrite-${DENDRITE_VERSION}`)
const PROMETHEUS = join(CACHE, 'prometheus')
const DENDRITE_MODULE = 'github.com/matrix-org/dendrite'

/** The Python that has Synapse. */
export const SYNAPSE_PYTHON = join(SYNAPSE, 'bin', 'python')
/** The Dendrite server. */
export const DENDRITE_PROGRAM = process.env.DENDRITE_BIN ?? join(DENDRITE, 'dendrite')
/** The nginx program. */
export const NGINX_PROGRAM = process.env.NGINX_BIN ?? '/usr/sbin/nginx'

/** The rule checker of Prometheus. */
export const PROMTOOL_PROGRAM = process.env.PROMTOOL_BIN ?? join(PROMETHEUS, 'usr', 'bin', 'promtool')

/** Installs what is missing, one line for each program. Vitest calls it once before the tests. */
export async function setup(): Promise<void> {
  for (const variable of ['DENDRITE_BIN', 'NGINX_BIN']) {
    const program = process.env[variable]
    if (program !== undefined && !(await exists(program))) throw new Error(`${variable}: there is no ${program}`)
  }
  await mkdir(CACHE, { recursive: true })
  await step(`Synapse ${SYNAPSE_VERSION}`, SYNAPSE_PYTHON, installSynapse)
  await step(process.env.DENDRITE_BIN ? 'Dendrite' : `Dendrite ${DENDRITE_VERSION}`, DENDRITE_PROGRAM, installDendrite)
  await requireNginx()
}

/** Installs nginx alone where it is missing. @throws Error with the remedy where it cannot be had */
export async function requireNginx(): Promise<void> {
  await mkdir(CACHE, { recursive: true })
  await step('nginx', NGINX_PROGRAM, installNginx)
}

/** Unpacks promtool alone where it is missing. @throws Error with the remedy where it cannot be had */
export async function requirePromtool(): Promise<void> {
  await mkdir(CACHE, { recursive: true })
  await step('promtool', PROMTOOL_PROGRAM, unpackPrometheus)
}

async function step(what: string, program: string, install: () => Promise<void>): Promise<void> {
  const present = await exists(program)
  if (!present) {
    process.stdout.write(`interop: installing ${what}\n`)
    await install()
    if (!(await exists(program))) throw new Error(`${what} was installed, but ${program} is not there`)
  }
  process.stdout.write(`interop: ${what} ${present ? 'is there' : 'installed'}: ${program}\n`)
}

async function installSynapse(): Promise<void> {
  await whole(SYNAPSE, async (directory) => {
    await run('python3', ['-m', 'venv', directory], 'Synapse needs python3 (3.10 or newer) with its venv module')
    const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--only-binary', ':all:']
    const packages = ['--constraint', CONSTRAINTS, `matrix-synapse==${SYNAPSE_VERSION}`]
    await run(join(directory, 'bin', 'python'), [...install, ...packages], 'pip could not install Synapse')
  })
}

async function installDendrite(): Promise<void> {
  const remedy = 'install Go 1.21 or newer, or name a Dendrite server in DENDRITE_BIN'
  await whole(DENDRITE, async (directory) => {
    // A module that requires Dendrite, since `go install` also asks for versions that a proxy need not have.
    await writeFile(join(directory, 'go.mod'), 'module dendrite-for-tests\n\ngo 1.21\n')
    const command = `${DENDRITE_MODULE}/cmd/dendrite`
    await run('go', ['get', `${command}@v${DENDRITE_VERSION}`], remedy, directory)
    await run('go', ['build', '-o', join(directory, 'dendrite'), command], remedy, directory)
  })
}

/** Fills a directory beside its place and moves it there when it is complete, so that a run that was cut off leaves nothing. */
async function whole(place: string, fill: (directory: string) => Promise<void>): Promise<void> {
  const directory = `${place}.${process.pid}`
  await mkdir(directory, { recursive: true })
  try {
    await fill(directory)
    await rm(place, { recursive: true, force: true })
    await rename(directory, place)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function installNginx(): Promise<void> {
  const remedy = 'install the Debian package nginx-light as root, or name an nginx with TLS in NGINX_BIN'
  await run('apt-get', ['update', '-qq'], remedy)
  await run('apt-get', ['install', '-qq', '-y', '--no-install-recommends', 'nginx-light'], remedy)
  // The package starts a server of its own where the machine allows it; the tests have no use for that one.
  await promisify(execFile)('service', ['nginx', 'stop']).catch(() => undefined)
}

/** The package is not installed: it would start a server. */
async function unpackPrometheus(): Promise<void> {
  const remedy = 'install the Debian package prometheus, or name its promtool in PROMTOOL_BIN'
  await whole(PROMETHEUS, async (directory) => {
    await run('apt-get', ['update', '-qq'], remedy)
    await run('apt-get', ['download', '-qq', 'prometheus'], remedy, directory)
    // That one file: the package's links lead nowhere outside of Debian's own tree.
    const unpack = 'dpkg-deb --fsys-tarfile *.deb | tar -x ./usr/bin/promtool && rm *.deb'
    await run('sh', ['-c', unpack], remedy, directory)
  })
}

/** Runs one command below normal priority to its end. @throws Error with what it wrote and the remedy */
async function run(command: string, args: readonly string[], remedy: string, cwd = CACHE): Promise<void> {
  const child = spawn('nice', [command, ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'], env: environment() })
  const output: string[] = []
  child.stdout.on('data', (chunk) => output.push(String(chunk)))
  child.stderr.on('data', (chunk) => output.push(String(chunk)))
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (code === 0) return
  const last = output.join('').trim().split('\n').slice(-10).join('\n')
  throw new Error(`${remedy}: "${command} ${args.join(' ')}" exited with ${code}:\n${last}`)
}

function environment(): NodeJS.ProcessEnv {
  return { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
