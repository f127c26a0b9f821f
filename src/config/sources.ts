/**
 * Where the configuration comes from: YAML files, merged left to right, and environment variables over them. Each value
 * keeps the name of its source, for error lines.
 */
import { readFile } from 'node:fs/promises'
import { type Document, isMap, parseDocument } from 'yaml'

/** `MATRIX_KNOCK__LISTEN__PORT` stands for `listen.port`. */
const ENVIRONMENT_PREFIX = 'MATRIX_KNOCK__'
const MAX_FILE_BYTES = 1024 * 1024

export type Tree = { [key: string]: unknown }

export interface Sources {
  /** The merged configuration as written. */
  readonly tree: Tree
  /** What each file says by itself, in their order. */
  readonly files: readonly { readonly path: string; readonly tree: Tree }[]
  /** Where the value of a key was last set, or the last file where it was not set at all. @param path keys */
  sourceOf(path: readonly PropertyKey[]): string
}

export type SourcesResult =
  | { readonly ok: true; readonly sources: Sources }
  | { readonly ok: false; readonly problems: readonly string[] }

/** Reads the files and the environment. @param files at least one path */
export async function readSources(
  files: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<SourcesResult> {
  const tree: Tree = {}
  const setBy = new Map<string, string>()
  const problems: string[] = []
  const alone: { path: string; tree: Tree }[] = []
  for (const file of files) {
    const read = await readYamlFile(file)
    if (read.ok) {
      alone.push({ path: file, tree: read.tree })
      merge(tree, read.tree, file, [], setBy)
    } else problems.push(`${file}: ${read.reason}`)
  }
  for (const name of Object.keys(environment).sort()) {
    const value = environment[name]
    if (!name.startsWith(ENVIRONMENT_PREFIX) || value === undefined) continue
    const read = readVariable(name, value)
    if (read.ok) merge(tree, read.tree, `environment variable ${name}`, [], setBy)
    else problems.push(`environment variable ${name}: ${read.reason}`)
  }
  if (problems.length > 0) return { ok: false, problems }
  const sourceOf = (path: readonly PropertyKey[]): string => {
    for (let length = path.length; length > 0; length--) {
      const source = setBy.get(keyOf(path.slice(0, length)))
      if (source !== undefined) return source
    }
    return files.at(-1) ?? 'configuration'
  }
  return { ok: true, sources: { tree, files: alone, sourceOf } }
}

type Read = { readonly ok: true; readonly tree: Tree } | { readonly ok: false; readonly reason: string }

async function readYamlFile(file: string): Promise<Read> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    const hint = `expected a YAML file; \`matrix-knock generate-config -o ${file}\` writes one`
    return { ok: false, reason: `cannot be read (${(error as NodeJS.ErrnoException).code}); ${hint}` }
  }
  if (text.length > MAX_FILE_BYTES) return { ok: false, reason: 'is longer than 1 MiB' }
  return readYaml(text)
}

function readYaml(text: string): Read {
  const document = parseDocument(text, { stringKeys: true })
  if (document.errors.length === 0 && document.contents === null) return { ok: true, tree: {} }
  const read = readDocument(document)
  if (!read.ok) return read
  if (!isMap(document.contents)) return { ok: false, reason: 'expected keys and values at the top level' }
  return { ok: true, tree: read.value as Tree }
}

/** The value of a document. Aliases that lead nowhere, or to too much, show only when they are followed. */
function readDocument(
  document: Document.Parsed,
): { readonly ok: true; readonly value: unknown } | Extract<Read, { ok: false }> {
  const invalid = (message: string) => ({ ok: false, reason: `is no valid YAML: ${message.split('\n')[0]}` }) as const
  const [flaw] = document.errors
  if (flaw !== undefined) return invalid(flaw.message)
  try {
    return { ok: true, value: document.toJS({ maxAliasCount: 100 }) }
  } catch (error) {
    return invalid((error as Error).message)
  }
}

function readVariable(name: string, text: string): Read {
  const keys = name.slice(ENVIRONMENT_PREFIX.length).toLowerCase().split('__')
  if (keys.some((key) => key === '')) return { ok: false, reason: 'expected MATRIX_KNOCK__SECTION__KEY' }
  const read = readDocument(parseDocument(text, { stringKeys: true }))
  if (!read.ok) return read
  return { ok: true, tree: keys.reduceRight<unknown>((inner, key) => ({ [key]: inner }), read.value) as Tree }
}

/** Maps are merged key by key; anything else replaces what was there. */
function merge(into: Tree, from: Tree, source: string, path: readonly string[], setBy: Map<string, string>): void {
  for (const key of Object.keys(from)) {
    const value = from[key]
    const here = [...path, key]
    const before = Object.hasOwn(into, key) ? into[key] : undefined
    // A section without anything in it says nothing.
    if (path.length === 0 && value === null) continue
    setBy.set(keyOf(here), source)
    if (isTree(value)) {
      const branch: Tree = isTree(before) ? before : {}
      define(into, key, branch)
      merge(branch, value, source, here, setBy)
    } else define(into, key, value)
  }
}

function define(tree: Tree, key: string, value: unknown): void {
  Object.defineProperty(tree, key, { value, writable: true, enumerable: true, configurable: true })
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function keyOf(path: readonly PropertyKey[]): string {
  return path.map(String).join('\0')
}
