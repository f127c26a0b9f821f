/**
 * An operator who follows the page: runs its commands in a shell, as they stand there but for the places of this test,
 * writes what it says into files, and has systemd and nginx act on the programs of the test.
 */
import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { parse } from 'yaml'
import { exchange } from '../../support/http-client.ts'
import { freePorts } from '../../support/service-process.ts'
import type { Homeserver } from './homeserver.ts'
import type { Block } from './operating-page.ts'
import { type RunningProgram, startProgram } from './program.ts'

export interface Operator {
  /** Does what a block says. @returns what its commands wrote @throws Error where one fails */
  follow(block: Block): Promise<string>
  /** Lines of the page that were carried out. */
  readonly done: readonly string[]
  /** What the service has written. */
  log(): string
  /** Stops the service and removes everything. */
  close(): Promise<void>
}

const PROGRAM = fileURLToPath(new URL('../../../dist/main.js', import.meta.url))
const CONFIG_ON_PAGE = { synapse: '/etc/matrix-synapse/homeserver.yaml', dendrite: '/etc/dendrite/dendrite.yaml' }
const UNIT_OF = { synapse: 'matrix-synapse', dendrite: 'dendrite' }

/** @param ca the authority of the test, which the page need not tell of */
export async function startOperator(homeserver: Homeserver, ca: string): Promise<Operator> {
  const root = await mkdtemp(join(tmpdir(), 'matrix-knock-operator-'))
  const [port = 0, adminPort = 0, appservicePort = 0] = await freePorts(3)
  const state = join(root, 'var/lib/matrix-knock')
  await mkdir(state, { recursive: true })
  await writeFile(join(root, 'ca.pem'), ca)
  await writeCommand(join(root, 'bin/matrix-knock'))
  const environment = {
    PATH: `${join(root, 'bin')}:${process.env.PATH}`,
    MATRIX_KNOCK__LISTEN__PORT: String(port),
    MATRIX_KNOCK__ADMIN__PORT: String(adminPort),
    MATRIX_KNOCK__HOMESERVER__APPSERVICE__LISTEN__PORT: String(appservicePort),
    MATRIX_KNOCK__FEDERATION__CA_PATH: JSON.stringify([join(root, 'ca.pem')]),
    MATRIX_KNOCK__FEDERATION__IP_RANGE_ALLOWLIST: '["127.0.0.0/8"]',
    NODE_EXTRA_CA_CERTS: join(root, 'ca.pem'),
  }
  const places: readonly (readonly [string, string])[] = [
    [CONFIG_ON_PAGE[homeserver.kind], homeserver.configPath],
    ['/var/lib/matrix-knock', state],
    ['/usr/bin/node', process.execPath],
    ['/opt/matrix-knock/dist/main.js', PROGRAM],
    ['http://127.0.0.1:8008', homeserver.clientUrl],
    ['https://example.org', homeserver.federationUrl],
  ]
  const here = (line: string): string => places.reduce((text, [there, now]) => text.replaceAll(there, now), line)
  const done: string[] = []
  let directory = root
  let unit = ''
  let included = ''
  let service: RunningProgram | undefined

  async function startUnit(): Promise<string> {
    const [program = '', ...args] = unitValue(unit, 'ExecStart').split(' ')
    const command = { program, args, cwd: unitValue(unit, 'WorkingDirectory'), env: environment }
    const isReady = async () => (await exchange(adminPort, { method: 'GET', path: '/ready' })).status === 200
    service = await startProgram(command, isReady)
    return ''
  }

  async function restartHomeserver(): Promise<string> {
    await homeserver.down()
    await homeserver.up()
    return ''
  }

  async function reloadProxy(): Promise<string> {
    await homeserver.includeInProxy(included)
    return ''
  }

  /** Commands of the system, which this test does not own. */
  const ofTheSystem: Readonly<Record<string, () => Promise<string>>> = {
    'systemctl enable --now matrix-knock': startUnit,
    [`systemctl restart ${UNIT_OF[homeserver.kind]}`]: restartHomeserver,
    'nginx -s reload': reloadProxy,
  }

  async function run(line: string): Promise<string> {
    done.push(line)
    const system = ofTheSystem[line]
    if (system !== undefined) return system()
    const script = `set -eu; cd '${directory}'; ${here(line)}; pwd > '${root}/directory'`
    const options = { env: { ...process.env, ...environment } }
    const { stdout, stderr } = await promisify(execFile)('bash', ['-c', script], options).catch((error) => {
      throw new Error(`${line}\n${error.stdout}${error.stderr}`)
    })
    directory = (await readFile(join(root, 'directory'), 'utf8')).trim()
    return stdout + stderr
  }

  return {
    done,
    log: () => service?.log() ?? '',
    async follow({ language, lines }) {
      const text = here(lines.join('\n'))
      if (language === 'sh') return (await inTurn(lines, run)).join('')
      done.push(...lines)
      if (language === 'yaml') await addToConfig(homeserver.configPath, text)
      else if (language === 'ini') unit = text
      else if (language === 'nginx') included = /^include (.*);$/.exec(text)?.[1] ?? ''
      else throw new Error(`nobody told the operator what to do with ${language}`)
      return ''
    },
    async close() {
      const code = await service?.stop()
      await rm(root, { recursive: true, force: true })
      if (service !== undefined && code !== 0) throw new Error(`the service ended with ${code}: ${service.log()}`)
    },
  }
}

async function writeCommand(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, `#!/bin/sh\nexec '${process.execPath}' '${PROGRAM}' "$@"\n`)
  await chmod(path, 0o755)
}

function unitValue(unit: string, key: string): string {
  const [, value] = new RegExp(`^${key}=(.*)$`, 'm').exec(unit) ?? []
  if (value === undefined) throw new Error(`the unit has no ${key}`)
  return value
}

/** The test writes the homeserver's file as JSON, which is YAML too. */
async function addToConfig(path: string, text: string): Promise<void> {
  const config = JSON.parse(await readFile(path, 'utf8'))
  await writeFile(path, JSON.stringify({ ...config, ...parse(text) }))
}

async function inTurn<Item, Result>(
  items: readonly Item[],
  task: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = []
  for (const item of items) results.push(await task(item))
  return results
}
