/** Values that the files of several homeservers share, checked as our own configuration checks them. */
import type { HomeserverFile, TrustedKeyServer } from './homeserver-file.ts'
import { serverGlob, serverName, trustedKeyServer } from './values.ts'

export function isServerName(value: unknown): boolean {
  return serverName.safeParse(value).success
}

export function isServerGlob(value: unknown): value is string {
  return serverGlob.safeParse(value).success
}

export interface Notaries {
  readonly servers: readonly TrustedKeyServer[]
  readonly notes: readonly string[]
}

type Entry = Readonly<Record<string, unknown>>

/**
 * Reads a list of notaries. One without keys cannot be believed by us and is left out, with a note.
 * @param keysOf gives the keys of an entry by their ids, undefined where it has none
 */
export function readTrustedKeyServers(file: HomeserverFile, key: string, keysOf: (entry: Entry) => unknown): Notaries {
  const entries = file.value(key) ?? []
  const expected = 'a list of key servers with their keys'
  if (!Array.isArray(entries) || !entries.every((entry) => typeof entry === 'object' && entry !== null)) {
    file.refuse(key, expected)
    return { servers: [], notes: [] }
  }
  const servers: TrustedKeyServer[] = []
  const notes: string[] = []
  for (const entry of entries as readonly Entry[]) {
    const keys = keysOf(entry)
    const notary = { server_name: entry.server_name, verify_keys: keys }
    if (trustedKeyServer.safeParse(notary).success) servers.push(notary as TrustedKeyServer)
    else if (isServerName(entry.server_name) && isNothing(keys)) {
      notes.push(`${file.path}: ${key}: ${entry.server_name} is named without its keys and was left out`)
    } else file.refuse(key, expected)
  }
  return { servers, notes }
}

function isNothing(keys: unknown): boolean {
  return keys === undefined || keys === null || Object.keys(keys).length === 0
}
