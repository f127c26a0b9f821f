/** The configuration file of a homeserver, read key by key: each key that is missing or not understood is named. */
import { readFile } from 'node:fs/promises'
import { dirname, isAbsolute, resolve } from 'node:path'
import { isMap, parseDocument } from 'yaml'

/** What we need to know of a homeserver. Kinds of homeservers tell it in different words. */
export interface HomeserverFacts {
  readonly serverName: string
  /** Absolute. */
  readonly signingKeyPath: string
  readonly url: string
  /** Servers that it talks to, null for all. */
  readonly allowServers: readonly string[] | null
  readonly trustedKeyServers: readonly TrustedKeyServer[]
  /** What the operator should know of the file, one line each. */
  readonly notes: readonly string[]
}

export interface TrustedKeyServer {
  readonly server_name: string
  readonly verify_keys: Readonly<Record<string, string>>
}

/** What a file says, and what of it could not be used. */
export interface HomeserverFile {
  /** The value of a key, undefined where the file does not have it. @param key as `global.server_name` */
  value(key: string): unknown
  /** The text of a key that must be there. @returns undefined, with a problem noted, where it is none */
  text(key: string, expected: string): string | undefined
  /** Notes that a key is not as expected. @param found of it, where its value should not be shown */
  refuse(key: string, expected: string, found?: string): undefined
  /** A path of the file: relative ones start at its folder. */
  resolve(path: string): string
  /** Where it is. */
  readonly path: string
  /** Those noted so far, one line each: file, key, what was found, what is expected. */
  readonly problems: readonly string[]
}

const MAX_CHARACTERS = 4 * 1024 * 1024

export type HomeserverFileResult =
  | { readonly ok: true; readonly file: HomeserverFile }
  | { readonly ok: false; readonly problem: string }

/** Reads a file, or says why it cannot be read. @param path of a YAML file */
export async function readHomeserverFile(path: string): Promise<HomeserverFileResult> {
  const unusable = (reason: string): HomeserverFileResult => ({ ok: false, problem: `${path}: ${reason}` })
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    return unusable(`cannot be read (${(error as NodeJS.ErrnoException).code}); expected a YAML file`)
  }
  if (text.length > MAX_CHARACTERS) return unusable('is longer than 4 MiB')
  const document = parseDocument(text, { stringKeys: true })
  const [flaw] = document.errors
  if (flaw !== undefined) return unusable(`is no valid YAML: ${flaw.message.split('\n')[0]}`)
  if (!isMap(document.contents)) return unusable('expected keys and values at the top level')
  return { ok: true, file: homeserverFile(path, document.toJS({ maxAliasCount: 100 })) }
}

function homeserverFile(path: string, tree: unknown): HomeserverFile {
  const problems: string[] = []
  const value = (key: string): unknown => key.split('.').reduce(member, tree)
  const refuse = (key: string, expected: string, found = shown(value(key))): undefined => {
    problems.push(`${path}: ${key} ${found}; expected ${expected}`)
    return undefined
  }
  return {
    path,
    problems,
    value,
    refuse,
    text(key, expected) {
      const found = value(key)
      return typeof found === 'string' && found !== '' ? found : refuse(key, expected)
    },
    resolve: (other) => (isAbsolute(other) ? other : resolve(dirname(path), other)),
  }
}

function member(tree: unknown, key: string): unknown {
  return typeof tree === 'object' && tree !== null && Object.hasOwn(tree, key)
    ? (tree as Record<string, unknown>)[key]
    : undefined
}

function shown(value: unknown): string {
  if (value === undefined || value === null) return 'is missing'
  const json = JSON.stringify(value)
  return `is ${json.length > 80 ? `${json.slice(0, 77)}...` : json}`
}
