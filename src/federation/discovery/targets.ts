/**
 * Where and as whom a server is reached: what the parts of its name become as Host header, SNI and certificate name.
 * https://spec.matrix.org/latest/server-server-api/#resolving-server-names
 */
import type { ServerNameParts } from '../../matrix/identifiers.ts'

/** Where and as whom to reach a server. */
export interface Target {
  /** IP literal without brackets. */
  readonly address: string
  readonly port: number
  /** The `Host` header. */
  readonly host: string
  /** SNI; undefined for IP literals, which TLS does not name. */
  readonly servername: string | undefined
  /** The host name or IP literal that the certificate must be for. */
  readonly certificateName: string
}

/** The name in the shape that certificates have it: without the dot of an absolute DNS name. */
export function certificateNameOf(host: string): string {
  return host.replace(/\.$/, '')
}

/**
 * A target for one address of a server.
 * @param name the server name, or the delegated one: it is the Host header as it stands, port included where it has one
 */
export function targetAt(name: string, { host, literal }: ServerNameParts, address: string, port: number): Target {
  const certificateName = certificateNameOf(host)
  return { address, port, host: name, servername: literal === undefined ? certificateName : undefined, certificateName }
}
