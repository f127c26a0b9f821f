/**
 * `npm run build`: the program as one file per thread, with the parts that only some commands load beside them, and the
 * library as modules with declarations. One file instead of hundreds starts in half the time, and what no line of ours
 * reaches of a package takes no memory.
 *
 * Usage: npm run build [-- --out FOLDER]
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { build } from 'esbuild'

const { out: OUT } = parseArgs({ options: { out: { type: 'string', default: 'dist' } } }).values
const ENTRIES = ['src/main.ts', 'src/store/sqlite/writer.ts', 'src/verification/verifier.ts']
/** Packages that stay outside: with binaries or files of their own, or named by others and never loaded here. */
const OUTSIDE = [
  ...['@photostructure/sqlite', 'pino-pretty'],
  ...['pg-native', 'light-my-request', '@fastify/ajv-compiler', '@fastify/fast-json-stringify-compiler'],
]

/** undici by its parts, put together as its index.js does: the others are fetch, WebSocket, caches and mocks. */
const UNDICI_PARTS = `
  import api from 'undici/lib/api/index.js'
  import Dispatcher from 'undici/lib/dispatcher/dispatcher.js'
  Object.assign(Dispatcher.prototype, api)
  export { default as Agent } from 'undici/lib/dispatcher/agent.js'
  export { default as Pool } from 'undici/lib/dispatcher/pool.js'
  export { default as buildConnector } from 'undici/lib/core/connect.js'`
const undiciByParts = {
  name: 'undici-by-parts',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^undici$/ }, () => ({ path: 'undici-parts', namespace: 'parts' }))
    onLoad({ filter: /.*/, namespace: 'parts' }, () => ({ contents: UNDICI_PARTS, resolveDir: process.cwd() }))
  },
}

rmSync(OUT, { recursive: true, force: true })
const compile = ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json', '--outDir', OUT]
execFileSync(process.execPath, compile, { stdio: 'inherit' })
const { metafile } = await build({
  entryPoints: ENTRIES,
  // Flat, so that a thread's file is found from whichever file starts it.
  entryNames: '[name]',
  chunkNames: '[name]-[hash]',
  outdir: OUT,
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  external: OUTSIDE,
  plugins: [undiciByParts],
  // Names stay: a stack trace in a log is to be read.
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'none',
  // Packages in CommonJS ask for the modules of Node by `require`.
  banner: {
    js: "import{createRequire as _createRequire}from'node:module';const require=_createRequire(import.meta.url);",
  },
  metafile: true,
  logLevel: 'warning',
})
writeFileSync(join(OUT, 'THIRD-PARTY-LICENSES.txt'), licencesOf(Object.keys(metafile.inputs)))

/** The licence of every package of which something was taken in. */
function licencesOf(inputs) {
  const directories = new Set(inputs.map(packageOf).filter((directory) => directory !== undefined))
  const texts = [...directories].sort().map((directory) => {
    const { name, version, license } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'))
    const file = readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry))
    const text = file === undefined ? '' : readFileSync(join(directory, file), 'utf8').trim()
    return `${name} ${version} (${license})\n\n${text}\n`
  })
  return texts.join(`\n${'-'.repeat(80)}\n\n`)
}

function packageOf(input) {
  const [, directory] = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input) ?? []
  return directory
}
