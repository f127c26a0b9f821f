/** The import statements of a TypeScript source, read from its text: for tests that hold the tree to its directions. */

export interface SourceImport {
  readonly specifier: string
  /** `import type` and `export type`: gone when the program runs. */
  readonly typeOnly: boolean
  /** `export … from`. */
  readonly reexport: boolean
  /** Imported names as the other module calls them; `default` and `*` where they are meant. */
  readonly names: readonly string[]
}

const STATEMENT =
  /^(import|export)\s+(type\s+)?(?:([\w$]+)\s*,?\s*)?(\*(?:\s+as\s+[\w$]+)?|\{[^}]*\})?\s*from\s*'([^']+)'/gm
const SIDE_EFFECT = /^import\s*'([^']+)'/gm
const DYNAMIC = /\bimport\(\s*('([^']+)'|[^)]*)/g
const COMMENT = /\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm

/**
 * Reads the statements that a formatter has laid out: one at a line's start, quotes single.
 * @throws Error for `import()` of anything but a plain text, which nobody could follow
 */
export function importsOf(source: string): readonly SourceImport[] {
  const code = source.replace(COMMENT, '')
  return [
    ...[...code.matchAll(STATEMENT)].map(statement),
    ...[...code.matchAll(SIDE_EFFECT)].map(([, specifier = '']) => plain(specifier)),
    ...[...code.matchAll(DYNAMIC)].map(dynamic),
  ]
}

function statement([, keyword, type, byDefault, clause = '', specifier = '']: RegExpMatchArray): SourceImport {
  const listed = clause.startsWith('{') ? clause.slice(1, -1).split(',').map(importedName) : clause === '' ? [] : ['*']
  return {
    specifier,
    typeOnly: type !== undefined,
    reexport: keyword === 'export',
    names: [...(byDefault === undefined ? [] : ['default']), ...listed.filter((name) => name !== '')],
  }
}

/** `type a as b` is `a`. */
function importedName(part: string): string {
  const [, name = ''] = /^\s*(?:type\s+)?([\w$]+)/.exec(part) ?? []
  return name
}

function dynamic([whole, , specifier]: RegExpMatchArray): SourceImport {
  if (specifier === undefined) throw new Error(`an import of what only the running program knows: ${whole})`)
  return { ...plain(specifier), names: ['*'] }
}

function plain(specifier: string): SourceImport {
  return { specifier, typeOnly: false, reexport: false, names: [] }
}
