/**
 * How the parts of a server name become the Host header, SNI and certificate name of a connection.
 * https://spec.matrix.org/latest/server-server-api/#resolving-server-names
 */
import type { ServerNameParts } from '../../matrix/identifiers.ts'
import type { Target } from '../http/agent.ts'

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
