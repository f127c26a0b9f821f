/** What Dendrite's dendrite.yaml says that we need to know. */
import type { HomeserverFacts, HomeserverFile } from './homeserver-file.ts'
import { isServerName, readTrustedKeyServers } from './homeserver-values.ts'

/** The file does not say where Dendrite listens: that is an option of its command, with this default. */
const DEFAULT_URL = 'http://127.0.0.1:8008'

/**
 * Reads the file; what is wrong with it is noted there.
 * @param url where the homeserver answers, if the operator says so
 */
export function readDendriteFile(file: HomeserverFile, url: string = DEFAULT_URL): HomeserverFacts | undefined {
  const serverName = file.text('global.server_name', 'the name of the homeserver, as Dendrite writes it')
  const keyPath = file.text('global.private_key', "the path of the homeserver's key file")
  if (serverName === undefined || keyPath === undefined) return undefined
  if (!isServerName(serverName)) return file.refuse('global.server_name', 'a server name')
  const notaries = readTrustedKeyServers(file, 'federation_api.key_perspectives', ({ keys }) => keysById(keys))
  if (file.problems.length > 0) return undefined
  const notes = [...notaries.notes]
  if (file.value('global.disable_federation') === true) {
    notes.push(`${file.path}: global.disable_federation is true: nobody can knock until it is false`)
  }
  return {
    serverName,
    signingKeyPath: file.resolve(keyPath),
    url,
    // Dendrite has lists of networks alone, none of servers.
    allowServers: null,
    trustedKeyServers: notaries.servers,
    notes,
  }
}

/** Dendrite writes a list of `{ key_id, public_key }`. */
function keysById(keys: unknown): unknown {
  if (!Array.isArray(keys)) return keys
  return Object.fromEntries(keys.map((key) => [String(key?.key_id), key?.public_key]))
}
