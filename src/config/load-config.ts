/** From files and environment to a configuration, or to lines that say what is wrong with it. */
import type * as z from 'zod'
import { exposedSecrets } from './exposed-secrets.ts'
import type { Problem } from './problem.ts'
import { type Config, configSchema } from './schema.ts'
import { settingsOf, settingText } from './setting.ts'
import { readSources, type Sources } from './sources.ts'

export type ConfigResult =
  | {
      readonly ok: true
      readonly config: Config
      /** What the operator should mend although it works, one line each. */
      readonly warnings: readonly string[]
      /** The line for something that turns out later: it names the source of the key too. */
      line(problem: Problem): string
    }
  /** One line for each thing that is wrong: source, key, what was found, what is allowed. */
  | { readonly ok: false; readonly problems: readonly string[] }

/** Names of earlier plans and other builds: the one line that says so is enough. */
const NOT_IN_THIS_BUILD = ['store.kind']

/**
 * Reads and checks the configuration.
 * @param files paths of YAML files, merged left to right
 * @param environment of the process: `MATRIX_KNOCK__SECTION__KEY` overrides
 */
export async function loadConfig(
  files: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<ConfigResult> {
  const read = await readSources(files, environment)
  if (!read.ok) return read
  const { tree, sourceOf } = read.sources
  const result = configSchema.safeParse(tree)
  const line = ({ key, what }: Problem): string => `${sourceOf(key.split('.'))}: ${key}: ${what}`
  if (result.success) {
    const warnings = await exposedSecrets(configSchema, read.sources.files)
    return { ok: true, config: result.data, warnings, line }
  }
  return { ok: false, problems: describe(result.error.issues, read.sources) }
}

function describe(issues: readonly z.core.$ZodIssue[], sources: Sources): readonly string[] {
  const foreign = issues.flatMap(({ code, path }) =>
    code === 'invalid_value' && NOT_IN_THIS_BUILD.includes(path.join('.')) ? [path[0]] : [],
  )
  const lines = issues.flatMap((issue) => {
    // Keys beside a kind that this build does not have belong to that kind.
    if (issue.code === 'unrecognized_keys' && foreign.includes(issue.path[0])) return []
    return issue.code === 'unrecognized_keys' ? unknownKeys(issue, sources) : [wrongValue(issue.path, sources)]
  })
  return [...new Set(lines)]
}

function unknownKeys({ path, keys }: z.core.$ZodIssueUnrecognizedKeys, sources: Sources): readonly string[] {
  const section = schemaAt(path)
  const known = [...((section && settingsOf(section)?.keys()) ?? [])].join(', ')
  const where = path.length === 0 ? 'at the top level' : `in ${path.map(String).join('.')}`
  return keys.map((key) => {
    const full = [...path, key]
    const allowed = known === '' ? allowedAt(path) : `one of ${known} ${where}`
    return `${sources.sourceOf(full)}: ${full.map(String).join('.')} is no key of the configuration; expected ${allowed}`
  })
}

function wrongValue(path: readonly PropertyKey[], sources: Sources): string {
  const value = valueAt(sources.tree, path)
  const found =
    value === undefined
      ? 'is missing'
      : isSecret(path)
        ? 'is another text (not shown: it may hold a password)'
        : `is ${shown(value)}`
  return `${sources.sourceOf(path)}: ${path.map(String).join('.')} ${found}; expected ${allowedAt(path)}`
}

/** What is allowed at a key, or where it is inside a value: in the key that holds the value. */
function allowedAt(path: readonly PropertyKey[]): string {
  for (let length = path.length; length > 0; length--) {
    const schema = schemaAt(path.slice(0, length))
    const allowed = schema && settingText(schema)?.allowed
    if (allowed !== undefined) return allowed
    const keys = schema && settingsOf(schema)?.keys()
    if (keys !== undefined) return `the keys ${[...keys].join(', ')}`
  }
  return `the keys ${Object.keys(configSchema.shape).join(', ')}`
}

function isSecret(path: readonly PropertyKey[]): boolean {
  const schema = schemaAt(path)
  return schema !== undefined && settingText(schema)?.secret === true
}

function schemaAt(path: readonly PropertyKey[]): z.ZodType | undefined {
  return path.reduce<z.ZodType | undefined>(
    (schema, key) => schema && settingsOf(schema)?.get(String(key)),
    configSchema as z.ZodType,
  )
}

function valueAt(tree: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      typeof value === 'object' && value !== null && Object.hasOwn(value, key)
        ? (value as Record<PropertyKey, unknown>)[key]
        : undefined,
    tree,
  )
}

function shown(value: unknown): string {
  const json = withoutPasswords(JSON.stringify(value) ?? String(value))
  return json.length > 80 ? `${json.slice(0, 77)}...` : json
}

/** A URL that was written under the wrong key may hold one all the same. */
function withoutPasswords(json: string): string {
  return json.replace(/(:\/\/[^\s"/:@]*):[^\s"]*@/g, '$1:***@')
}
