/**
 * Reference for server ACLs: plain, slow, and each step a line of the specification.
 * https://spec.matrix.org/v1.19/client-server-api/#mroomserver_acl
 */
import { type OracleJson, type OracleObject, own } from './json-value.ts'

function without1(text: readonly string[]): readonly string[] {
  return text.slice(1)
}

function globMatches(pattern: readonly string[], text: readonly string[]): boolean {
  const head = pattern[0]
  if (head === undefined) return text.length === 0
  if (head === '*')
    return globMatches(without1(pattern), text) || (text.length > 0 && globMatches(pattern, without1(text)))
  if (text.length === 0) return false
  return (head === '?' || head === text[0]) && globMatches(without1(pattern), without1(text))
}

/** `*` is any number of characters, `?` exactly one, all else itself; the case of letters does not count. */
export function oracleGlobMatches(pattern: string, text: string): boolean {
  return globMatches([...pattern.toLowerCase()], [...text.toLowerCase()])
}

/** The server name without its port: what follows `]`, or the first colon of a name that has no brackets. */
export function hostOf(server: string): string {
  if (server.startsWith('[')) return server.slice(0, server.indexOf(']') + 1)
  return server.split(':')[0] ?? ''
}

function isIpLiteral(host: string): boolean {
  if (host.startsWith('[')) return true
  const parts = host.split('.')
  return parts.length === 4 && parts.every((part) => /^[0-9]{1,3}$/.test(part) && Number(part) <= 255)
}

function patterns(value: OracleJson | undefined): readonly string[] {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : []
}

/** Whether a server may take part. `content` is undefined where the room has no `m.room.server_acl`. */
export function oracleAclAllows(content: OracleObject | undefined, server: string): boolean {
  if (content === undefined) return true
  const host = hostOf(server)
  if (isIpLiteral(host) && own(content, 'allow_ip_literals') === false) return false
  if (patterns(own(content, 'deny')).some((pattern) => oracleGlobMatches(pattern, host))) return false
  if (patterns(own(content, 'allow')).some((pattern) => oracleGlobMatches(pattern, host))) return true
  return false
}
