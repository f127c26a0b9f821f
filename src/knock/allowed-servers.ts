/** The gate before any room: servers that the operator does not let in, and our own, which has other ways. */
import { refusal } from '../matrix/refusal.ts'
import type { ServerAcl } from '../matrix/server-acl.ts'
import { compileServerList } from '../matrix/server-list.ts'

/** Names and globs as in server ACLs; an entry with a port means that port alone. */
export interface ServerLists {
  /** null: all. */
  readonly allow: readonly string[] | null
  /** Wins over `allow`. */
  readonly deny: readonly string[]
}

export function compileAllowedServers({ allow, deny }: ServerLists): ServerAcl {
  const allowed = allow === null ? undefined : compileServerList(allow)
  const denied = compileServerList(deny)
  return { allows: (server) => !denied.has(server) && allowed?.has(server) !== false }
}

export const SERVER_DENIED = refusal(
  'M_FORBIDDEN',
  'Your server may not knock here',
  'federation.allow_servers, deny_servers',
)

export const OWN_SERVER = refusal(
  'M_FORBIDDEN',
  'This server does not knock on its own rooms',
  'origin is another server',
)
