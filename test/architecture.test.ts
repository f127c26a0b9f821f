import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { importsOf, type SourceImport } from './support/source-imports.ts'

/**
 * What of ours each folder may import beside itself: folders, and single files where the rest of a folder is closed.
 * What is in wiring/ puts the program together; only that sees several adapters.
 */
const DIRECTIONS: Readonly<Record<string, readonly string[]>> = {
  matrix: [],
  knock: ['matrix'],
  concurrency: [],
  transport: [],
  verification: ['matrix/ed25519.ts', 'concurrency'],
  rooms: ['matrix', 'knock'],
  upkeep: ['matrix', 'knock', 'rooms'],
  store: [
    'matrix',
    'knock/ports/rooms.ts',
    'knock/ports/deliveries.ts',
    'knock/ports/store.ts',
    'knock/fact-types.ts',
    'concurrency',
  ],
  federation: ['matrix', 'knock/ports/rooms.ts', 'knock/ports/deliveries.ts', 'concurrency', 'transport'],
  homeserver: [
    'matrix',
    'knock/ports/rooms.ts',
    'knock/ports/homeserver.ts',
    'knock/ports/store.ts',
    'knock/fact-types.ts',
    'rooms',
    'concurrency',
    'transport',
  ],
  http: ['matrix', 'knock', 'concurrency'],
  // The networks of the configuration are those that the address filter takes: one reader for both.
  config: ['matrix', 'federation/discovery/address-filter.ts', 'transport/certificate-bundle.ts'],
  // What it counts and logs of a request is described where requests are answered.
  observability: ['matrix', 'knock/ports/rooms.ts', 'knock/ports/deliveries.ts', 'http/answered-request.ts'],
  doctor: ['matrix', 'knock', 'homeserver'],
  cli: ['matrix', 'knock', 'rooms', 'doctor', 'config', 'observability', 'transport', 'wiring'],
  'main.ts': ['cli'],
  wiring: [
    'matrix',
    'knock',
    'rooms',
    'store',
    'federation',
    'homeserver',
    'http',
    'doctor',
    'config',
    'observability',
    'verification',
    'upkeep',
  ],
}

/** Who may import a package. A package that is not listed has no business in src/. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  'canonical-json': ['matrix'],
  tweetnacl: ['matrix'],
  'lru-cache': ['knock', 'federation', 'store', 'homeserver', 'verification'],
  undici: ['federation', 'homeserver'],
  '@photostructure/sqlite': ['store'],
  pg: ['store'],
  fastify: ['http'],
  '@fastify/rate-limit': ['http'],
  zod: ['config'],
  yaml: ['config'],
  commander: ['cli', 'main.ts'],
  'close-with-grace': ['cli'],
  pino: ['observability'],
  'pino-pretty': ['observability'],
  'prom-client': ['observability'],
}

/** The layers without input and output, and what they may use of Node: functions of their arguments. */
const PURE: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  matrix: {
    'node:buffer': ['isUtf8'],
    'node:crypto': [
      'createHash',
      'timingSafeEqual',
      'sign',
      'verify',
      'createPrivateKey',
      'createPublicKey',
      'KeyObject',
    ],
    'node:net': ['isIPv4', 'isIPv6'],
  },
  knock: {},
}
const WORLD =
  /\b(?:Date\.now|new Date\(\)|Math\.random|performance|process|console|fetch\(|set(?:Timeout|Interval|Immediate))\b/

const src = fileURLToPath(new URL('../src', import.meta.url))
const here = fileURLToPath(new URL('.', import.meta.url))

interface TextFile {
  /** From the folder on: `matrix/json.ts`. */
  readonly path: string
  readonly text: string
}

interface Source extends TextFile {
  readonly imports: readonly SourceImport[]
}

function filesIn(folder: string): readonly TextFile[] {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'))
  return paths.sort().map((path) => ({ path, text: readFileSync(join(folder, path), 'utf8') }))
}

const sources: readonly Source[] = filesIn(src).map((file) => ({ ...file, imports: importsOf(file.text) }))
const isOurs = ({ specifier }: SourceImport): boolean => specifier.startsWith('.')

/** The row of a table that a file belongs to: its top folder, or for a file beside them its name. */
function rowOf(path: string): string {
  const [top = ''] = path.split('/')
  return top
}

function targetOf(source: Source, { specifier }: SourceImport): string {
  return normalize(join(dirname(source.path), specifier))
}

function packageOf(specifier: string): string {
  const [scope = '', name] = specifier.split('/')
  return scope.startsWith('@') ? `${scope}/${name}` : scope
}

/** Each import of a kind that a rule does not allow, as `file -> import`. */
function offences(kind: (imported: SourceImport) => boolean, allows: (source: Source, to: SourceImport) => boolean) {
  return sources.flatMap((source) => {
    const refused = source.imports.filter((imported) => kind(imported) && !allows(source, imported))
    return refused.map(({ specifier }) => `${source.path} -> ${specifier}`)
  })
}

describe('the direction of imports', () => {
  it('is read from every line that imports', () => {
    const line = /^(?!\s*(?:\*|\/\/)).*(?:\bfrom '[^']+'$|^import '|\bimport\(')/
    const miscounted = sources.filter(({ text, imports }) => {
      return text.split('\n').filter((candidate) => line.test(candidate)).length !== imports.length
    })
    expect(miscounted.map(({ path }) => path)).toEqual([])
    expect(sources.flatMap(({ imports }) => imports).length).toBeGreaterThan(500)
  })

  it('is that of the table, between folders', () => {
    const allowed = (source: Source, imported: SourceImport): boolean => {
      const row = rowOf(source.path)
      const target = targetOf(source, imported)
      const reach = [row, ...(DIRECTIONS[row] ?? [])]
      return reach.includes(rowOf(target)) || reach.includes(target)
    }
    expect(offences(isOurs, allowed)).toEqual([])
    expect(sources.map(({ path }) => rowOf(path)).filter((row) => !(row in DIRECTIONS))).toEqual([])
  })

  it('needs every exception of the table', () => {
    const used = new Set(
      sources.flatMap((source) => {
        return source.imports.filter(isOurs).map((to) => `${rowOf(source.path)} -> ${targetOf(source, to)}`)
      }),
    )
    const isException = (entry: string): boolean => entry.includes('/') && !entry.startsWith('knock/')
    const exceptions = Object.entries(DIRECTIONS).flatMap(([row, entries]) => {
      return entries.filter(isException).map((entry) => `${row} -> ${entry}`)
    })
    expect(exceptions.length).toBeGreaterThan(0)
    expect(exceptions.filter((exception) => !used.has(exception))).toEqual([])
  })

  it('leads to files that exist, by their full names', () => {
    const paths = new Set(sources.map(({ path }) => path))
    expect(offences(isOurs, (source, imported) => paths.has(targetOf(source, imported)))).toEqual([])
  })

  it('has no circles, of types alone neither', () => {
    const edges = new Map(
      sources.map((source) => {
        const ours = source.imports.filter(isOurs)
        return [source.path, ours.map((imported) => targetOf(source, imported))] as const
      }),
    )
    expect(circleIn(edges)).toBeUndefined()
  })

  it('leads the thread that verifies to no more than it verifies with', () => {
    const loaded = loadedBy('verification/verifier.ts')
    expect(loaded).toContain('matrix/ed25519.ts')
    expect(loaded).not.toContain('tweetnacl')
  })

  it('keeps support for tests apart from what is tested', () => {
    for (const folder of ['support', 'oracle']) {
      // The store for tests keeps what the ports describe, and passes the suite of every store: it is no oracle of itself.
      const files = filesIn(join(here, folder)).filter(({ path }) => !path.startsWith('memory-store/'))
      expect(files.length).toBeGreaterThan(0)
      expect(
        files.filter(({ text }) => /\b(?:from|import)\b[ (]*'[^']*\/src\//.test(text)).map(({ path }) => path),
      ).toEqual([])
    }
  })
})

describe('packages', () => {
  it('are imported only where they belong', () => {
    const isPackage = ({ specifier }: SourceImport): boolean => !/^\.|^node:/.test(specifier)
    const allowed = (source: Source, { specifier }: SourceImport): boolean =>
      (PACKAGES[packageOf(specifier)] ?? []).includes(rowOf(source.path))
    expect(offences(isPackage, allowed)).toEqual([])
  })

  it('are all used, and no others are installed for the running program', () => {
    const manifest = JSON.parse(readFileSync(join(src, '../package.json'), 'utf8')) as { dependencies: object }
    const imported = new Set(sources.flatMap(({ imports }) => imports.map(({ specifier }) => packageOf(specifier))))
    expect(Object.keys(manifest.dependencies).filter((name) => !imported.has(name))).toEqual([])
  })

  it.each(Object.entries(PURE))('of Node, %s takes only what is a function of its arguments', (layer, table) => {
    const ofNode = ({ specifier }: SourceImport): boolean => specifier.startsWith('node:')
    const pure = (source: Source, { specifier, names }: SourceImport): boolean =>
      rowOf(source.path) !== layer || names.every((name) => table[specifier]?.includes(name) === true)
    expect(offences(ofNode, pure)).toEqual([])
    const files = sources.filter(({ path }) => rowOf(path) === layer)
    expect(files.length).toBeGreaterThan(5)
    expect(files.filter(({ text }) => WORLD.test(withoutComments(text))).map(({ path }) => path)).toEqual([])
  })
})

describe('files', () => {
  const offenders = (isWrong: (source: Source) => boolean): readonly string[] =>
    sources.filter(isWrong).map(({ path }) => path)

  it('begin by saying what they are', () => {
    expect(offenders(({ text }) => !/^(?:#!.*\n)?\/\*\*/.test(text))).toEqual([])
  })

  it('have at most 300 lines', () => {
    expect(offenders(({ text }) => text.trimEnd().split('\n').length > 300)).toEqual([])
  })

  it('are named after their topic, in kebab case', () => {
    const topics = /^(?!(?:utils?|helpers?|types?|index|common|misc|shared)\.ts$)[a-z0-9]+(?:-[a-z0-9]+)*\.ts$/
    expect(offenders(({ path }) => !topics.test(basename(path)))).toEqual([])
    expect(offenders(({ path }) => /(?:^|\/)(?:utils?|helpers?|types?|common|misc|shared)\//.test(path))).toEqual([])
  })

  it('export by name', () => {
    const isDefault = ({ reexport, names }: SourceImport): boolean => reexport && names.includes('default')
    expect(offenders(({ text, imports }) => /^export default\b/m.test(text) || imports.some(isDefault))).toEqual([])
  })

  it('hand on what others export only as the public sub-paths', () => {
    const isPublic = ({ path }: Source): boolean => path.startsWith('matrix/public/')
    const handsOn = ({ imports }: Source): boolean => imports.some(({ reexport, typeOnly }) => reexport && !typeOnly)
    expect(offenders((source) => handsOn(source) && !isPublic(source))).toEqual([])
    expect(sources.filter(isPublic).length).toBe(4)
    const bodies = sources
      .filter(isPublic)
      .map(({ text }) => withoutComments(text).replace(/^export [^;]*? from '.*'$/gm, ''))
    expect(bodies.map((body) => body.trim())).toEqual(['', '', '', ''])
    expect(
      offenders(
        (source) => !isPublic(source) && source.imports.some(({ specifier }) => specifier.includes('/public/')),
      ),
    ).toEqual([])
  })

  it('compare no room versions by their order', () => {
    const ordered = [
      /\b(?:room)?version(?:\.id|id|name)?\)? [<>]=? ['"\d]/i,
      /['"] [<>]=? (?:\w+\.)*(?:room)?version\b/i,
      /\b(?:Number|parseInt|parseFloat)\((?:\w+\.)*(?:room)?version\b/i,
    ]
    const isOrdered = (code: string): boolean => ordered.some((pattern) => pattern.test(code))
    expect(["version.id >= '7'", "'7' <= room.version", 'Number(roomVersion) > 6'].every(isOrdered)).toBe(true)
    expect(offenders(({ text }) => isOrdered(withoutComments(text)))).toEqual([])
  })

  it('leave nothing to be done', () => {
    // Put together here, so that this file does not hold what it looks for.
    const marks = new RegExp(`\\b(?:${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK'].join('|')})\\b`)
    const everywhere = [src, here, join(here, '../scripts')].flatMap(filesIn)
    expect(everywhere.length).toBeGreaterThan(200)
    expect(everywhere.filter(({ text }) => marks.test(text)).map(({ path }) => path)).toEqual([])
  })
})

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$|\s\/\/ .*$/gm, '')
}

/** The files and packages that run with a file, itself among them. */
function loadedBy(path: string): readonly string[] {
  const loaded = new Set([path])
  for (const file of loaded) {
    const source = sources.find((candidate) => candidate.path === file)
    const running = (source?.imports ?? []).filter(({ typeOnly }) => !typeOnly)
    for (const imported of running) {
      loaded.add(source !== undefined && isOurs(imported) ? targetOf(source, imported) : packageOf(imported.specifier))
    }
  }
  return [...loaded]
}

/** A path that ends where it began, or undefined. */
function circleIn(edges: ReadonlyMap<string, readonly string[]>): readonly string[] | undefined {
  const done = new Set<string>()
  const visit = (file: string, above: readonly string[]): readonly string[] | undefined => {
    if (above.includes(file)) return [...above.slice(above.indexOf(file)), file]
    if (done.has(file)) return undefined
    for (const next of edges.get(file) ?? []) {
      const circle = visit(next, [...above, file])
      if (circle !== undefined) return circle
    }
    done.add(file)
    return undefined
  }
  for (const file of edges.keys()) {
    const circle = visit(file, [])
    if (circle !== undefined) return circle
  }
  return undefined
}
