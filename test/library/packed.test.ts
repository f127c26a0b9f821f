import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type InstalledPackage, installPackage } from './installed-package.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const SUB_PATHS = ['canonical-json', 'x-matrix', 'event', 'auth'] as const
const MEGABYTE = 1_000_000

interface Manifest {
  readonly version: string
  readonly dependencies: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, unknown>>
}

describe('the package', { timeout: 60_000 }, () => {
  let installed: InstalledPackage
  let manifest: Manifest
  beforeAll(async () => {
    manifest = JSON.parse(await readFile(`${root}package.json`, 'utf8')) as Manifest
    installed = await installPackage(Object.keys(manifest.dependencies))
  }, 60_000)
  afterAll(() => installed?.remove())

  it('holds what its users need', () => {
    expect(installed.files).toEqual(
      expect.arrayContaining([
        'CHANGELOG.md',
        'LICENSE',
        'README.md',
        'config/matrix-knock.sample.yaml',
        'config/matrix-knock.schema.json',
        'config/matrix-knock.service',
        'config/nginx.conf',
        'dist/THIRD-PARTY-LICENSES.txt',
        'dist/main.js',
        'docs/library.md',
        'docs/reference/configuration.md',
        'docs/reverse-proxy.md',
        'package.json',
      ]),
    )
  })

  it('holds nothing else', () => {
    const expected =
      /^(?:package\.json|README\.md|CHANGELOG\.md|LICENSE|dist\/.+\.(?:js|d\.ts)|dist\/THIRD-PARTY-LICENSES\.txt|docs\/.+\.md|config\/[^/]+)$/
    expect(installed.files.filter((file) => !expected.test(file))).toEqual([])
    expect(installed.files.filter((file) => /secret|\.key$|\.db$/.test(file))).toEqual([])
  })

  it('is small, and its code points at no source that is not in it', async () => {
    expect(installed.packedSize).toBeLessThan(MEGABYTE)
    const code = await Promise.all(installed.files.filter((file) => file.endsWith('.js')).map(installed.read))
    expect(code.length).toBeGreaterThan(20)
    expect(code.filter((text) => text.includes('sourceMappingURL'))).toEqual([])
  })

  it('is also the program', async () => {
    const version = await installed.run({}, 'node_modules/matrix-knock/dist/main.js', '--version')
    expect(version).toEqual({ code: 0, output: `${manifest.version}\n` })
    const sample = await installed.run({}, 'node_modules/matrix-knock/dist/main.js', 'generate-config')
    expect(sample).toEqual({ code: 0, output: await installed.read('config/matrix-knock.sample.yaml') })
  })

  it('serves with its own dependencies alone', async () => {
    const files = {
      'config.yaml': JSON.stringify({
        ...{ server_name: 'here.test', signing_key_path: './signing.key', store: { path: './knock.db' } },
        ...{ listen: { port: 0 }, admin: { port: 0 }, homeserver: { handover: 'none' } },
      }),
      'serve.mjs': `
        import { spawn, spawnSync } from 'node:child_process'
        const program = 'node_modules/matrix-knock/dist/main.js'
        spawnSync(process.execPath, [program, 'generate-key', '-o', 'signing.key'])
        const service = spawn(process.execPath, [program, 'run', '-c', 'config.yaml'])
        let said = ''
        const hear = (chunk) => {
          said += chunk
          if (said.includes('"listening"') && !service.killed) service.kill('SIGTERM')
        }
        service.stdout.on('data', hear)
        service.stderr.on('data', hear)
        service.on('close', (code) => console.log(code === 0 ? 'served' : said))`,
    }
    expect(await installed.run(files, 'serve.mjs')).toEqual({ code: 0, output: 'served\n' })
  })
})

describe('the library', { timeout: 60_000 }, () => {
  let installed: InstalledPackage
  let page: string
  beforeAll(async () => {
    page = await readFile(`${root}docs/library.md`, 'utf8')
    // No fastify, no zod, no commander: a sub-path that wanted one would not load.
    installed = await installPackage(['canonical-json', 'tweetnacl', '@types/node'])
  }, 60_000)
  afterAll(() => installed?.remove())

  /** The examples of a section of the page: plain JavaScript that is TypeScript as well. */
  function examples(subPath: string): readonly string[] {
    const [, section = ''] = page.split(`\n## matrix-knock/${subPath}\n`)
    const [own = ''] = section.split('\n## ')
    return [...own.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code)
  }

  async function exportedNames(subPath: string): Promise<readonly string[]> {
    const script = `console.log(JSON.stringify(Object.keys(await import('matrix-knock/${subPath}'))))`
    const { code, output } = await installed.run({ 'names.mjs': script }, 'names.mjs')
    if (code !== 0) throw new Error(output)
    return JSON.parse(output) as readonly string[]
  }

  it.each(SUB_PATHS)('matrix-knock/%s: the examples of docs/library.md run', async (subPath) => {
    const scripts = examples(subPath)
    expect(scripts.length).toBeGreaterThan(0)
    for (const script of scripts) {
      expect(script).toContain(`from 'matrix-knock/${subPath}'`)
      expect(script).toContain('assert')
      expect(await installed.run({ 'example.mjs': script }, 'example.mjs')).toEqual({ code: 0, output: '' })
    }
  })

  it('the example of the README prints what it says', async () => {
    const readme = await readFile(`${root}README.md`, 'utf8')
    const [, script = ''] = /^```js\n([\s\S]*?)^```$/m.exec(readme) ?? []
    const [, printed] = /console\.log\(.*\) \/\/ (.*)$/m.exec(script) ?? []
    expect(await installed.run({ 'readme.mjs': script }, 'readme.mjs')).toEqual({ code: 0, output: `${printed}\n` })
  })

  it.each(SUB_PATHS)('matrix-knock/%s: docs/library.md names each of its exports', async (subPath) => {
    const [, section = ''] = page.split(`\n## matrix-knock/${subPath}\n`)
    const [own = ''] = section.split('\n## ')
    const names = await exportedNames(subPath)
    expect(names.length).toBeGreaterThan(0)
    expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(own))).toEqual([])
  })

  it.each(['NodeNext', 'bundler'])('is typed for module resolution %s', async (moduleResolution) => {
    const files = Object.fromEntries(SUB_PATHS.flatMap(examples).map((code, index) => [`example-${index}.ts`, code]))
    const options = {
      strict: true,
      target: 'ES2022',
      module: moduleResolution === 'bundler' ? 'ESNext' : moduleResolution,
      moduleResolution,
      types: ['node'],
      skipLibCheck: false,
      noEmit: true,
    }
    const tsconfig = JSON.stringify({ compilerOptions: options, files: ['consumer.ts', ...Object.keys(files)] })
    const compiler = `${root}node_modules/typescript/bin/tsc`
    const checked = await installed.run({ ...files, 'consumer.ts': CONSUMER, 'tsconfig.json': tsconfig }, compiler)
    expect(checked).toEqual({ code: 0, output: '' })
    const wrong = await installed.run({ 'consumer.ts': WRONG_CONSUMER }, compiler)
    expect(wrong.output).toMatch(/consumer\.ts\(\d+,\d+\): error TS2339: Property 'value' does not exist/)
  })

  it('has no other ways in', async () => {
    for (const path of ['', '/service', '/dist/main.js', '/dist/matrix/json.js', '/matrix/json']) {
      const { code, output } = await installed.run(
        { 'inside.mjs': `await import('matrix-knock${path}')` },
        'inside.mjs',
      )
      expect(code).toBe(1)
      expect(output).toContain('ERR_PACKAGE_PATH_NOT_EXPORTED')
    }
    expect(Object.keys(manifestExports(await installed.read('package.json')))).toEqual([
      ...SUB_PATHS.map((subPath) => `./${subPath}`),
      './package.json',
    ])
  })

  it('gives its manifest', async () => {
    const script = `import { createRequire } from 'node:module'
      console.log(createRequire(import.meta.url)('matrix-knock/package.json').name)`
    expect(await installed.run({ 'manifest.mjs': script }, 'manifest.mjs')).toEqual({
      code: 0,
      output: 'matrix-knock\n',
    })
  })
})

/** Uses each sub-path by its types alone. */
const CONSUMER = `import type { JsonObject, JsonResult, JsonValue } from 'matrix-knock/canonical-json'
import type { Ed25519, KeyId, PublishedKey, ServerKeysResult, SigningKey, XMatrixResult } from 'matrix-knock/x-matrix'
import type { EventId, Pdu, Refusal, RoomEvent, RoomVersion, UserId } from 'matrix-knock/event'
import type { AuthEventsResult, KnockAuthState, KnockToJudge, ServerAcl, Verdict } from 'matrix-knock/auth'
import { parseJson } from 'matrix-knock/canonical-json'
import { serverNameOf, type ServerName } from 'matrix-knock/event'
import { nativeEd25519 } from 'matrix-knock/x-matrix'
import { authoriseKnock } from 'matrix-knock/auth'

export const content: JsonObject = { membership: 'knock' }
export const provider: Ed25519 = nativeEd25519
export function read(bytes: Uint8Array): JsonValue | undefined {
  const result: JsonResult = parseJson(bytes)
  return result.ok ? result.value : undefined
}
export function judge(knock: KnockToJudge, state: KnockAuthState, version: RoomVersion): string {
  const verdict: Verdict = authoriseKnock(knock, state, version)
  return verdict.allowed ? verdict.rule : verdict.reason
}
export function server(user: UserId): ServerName {
  return serverNameOf(user)
}
export type Used = [AuthEventsResult, EventId, KeyId, Pdu, PublishedKey, Refusal, RoomEvent, ServerAcl, ServerKeysResult, SigningKey, XMatrixResult]
// @ts-expect-error: a text is no user id before it was parsed
server('@bob:remote.example')
`

/** The value of a text that may have been refused. */
const WRONG_CONSUMER = CONSUMER.replace('return result.ok ? result.value : undefined', 'return result.value')

function manifestExports(text: string): Readonly<Record<string, unknown>> {
  return (JSON.parse(text) as Manifest).exports
}
