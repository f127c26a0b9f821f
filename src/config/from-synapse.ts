/** What Synapse's homeserver.yaml says that we need to know. */

import type { HomeserverFacts, HomeserverFile } from './homeserver-file.ts'
import { isServerGlob, isServerName, readTrustedKeyServers } from './homeserver-values.ts'
import { reachableAddress } from './reachable.ts'

/** The resources of a listener where the homeserver answers all that we ask. */
const NEEDED = ['client', 'federation']
const URL_REMEDY = 'or give --homeserver-url'

/**
 * Reads the file; what is wrong with it is noted there.
 * @param url where the homeserver answers, if the operator says so; else it is taken from the listeners
 */
export function readSynapseFile(file: HomeserverFile, url: string | undefined): HomeserverFacts | undefined {
  const serverName = file.text('server_name', 'the name of the homeserver, as Synapse writes it')
  if (serverName === undefined) return undefined
  if (!isServerName(serverName)) return file.refuse('server_name', 'a server name')
  const signingKeyPath = keyPath(file, serverName)
  const reached = url ?? listenerUrl(file)
  const allowServers = whitelist(file)
  const notaries = readTrustedKeyServers(file, 'trusted_key_servers', (entry) => entry.verify_keys)
  if (file.problems.length > 0 || signingKeyPath === undefined || reached === undefined) return undefined
  const notes = [...notaries.notes]
  if (allowServers !== null && !allowServers.includes(serverName)) {
    const reason = 'Synapse lets nobody read rooms in its name until it does'
    notes.push(`${file.path}: federation_domain_whitelist does not name ${serverName} itself: ${reason}`)
  }
  return { serverName, signingKeyPath, url: reached, allowServers, trustedKeyServers: notaries.servers, notes }
}

function keyPath(file: HomeserverFile, serverName: string): string | undefined {
  // Its value is the key: it is not shown.
  if (file.value('signing_key') !== undefined) {
    return file.refuse('signing_key', 'signing_key_path, the path of a file that holds the key', 'holds the key itself')
  }
  // Where Synapse looks if it is not told.
  if (file.value('signing_key_path') === undefined) return file.resolve(`${serverName}.signing.key`)
  const path = file.text('signing_key_path', "the path of the homeserver's key file")
  return path === undefined ? undefined : file.resolve(path)
}

interface Listener {
  readonly type?: unknown
  readonly port?: unknown
  readonly tls?: unknown
  readonly bind_addresses?: unknown
  readonly bind_address?: unknown
  readonly resources?: unknown
}

function listenerUrl(file: HomeserverFile): string | undefined {
  const listeners = file.value('listeners')
  if (!Array.isArray(listeners)) return file.refuse('listeners', `a list of listeners, ${URL_REMEDY}`)
  const candidates = listeners.filter((listener): listener is Listener => isRecord(listener) && servesBoth(listener))
  const plain = candidates.find(({ tls, port }) => tls !== true && Number.isInteger(port))
  if (plain !== undefined) return `http://${reachableAddress(nearest(plain), Number(plain.port))}`
  const what = `one of type http with a port, without tls, and with the resources client and federation, ${URL_REMEDY}`
  return file.refuse('listeners', what, candidates.length === 0 ? 'has no such' : 'has such only with tls or a socket')
}

function servesBoth({ type, resources }: Listener): boolean {
  if (type !== 'http' || !Array.isArray(resources)) return false
  const names = resources.flatMap((resource: unknown) => (isRecord(resource) ? resource.names : undefined))
  return NEEDED.every((name) => names.includes(name))
}

/** Of the addresses of a listener the one to use on the same machine. */
function nearest({ bind_addresses: several, bind_address: one }: Listener): string {
  const addresses = [several, one].flat().filter((address) => typeof address === 'string' && address !== '')
  const found = ['127.0.0.1', '0.0.0.0', '::1', '::'].find((address) => addresses.includes(address))
  return found ?? (addresses[0] as string | undefined) ?? '0.0.0.0'
}

function whitelist(file: HomeserverFile): readonly string[] | null {
  const key = 'federation_domain_whitelist'
  const servers = file.value(key) ?? null
  if (servers === null) return null
  if (Array.isArray(servers) && servers.every(isServerGlob)) return servers
  file.refuse(key, 'a list of server names')
  return null
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
