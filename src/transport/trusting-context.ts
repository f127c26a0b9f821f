/**
 * Whom our connections trust: the authorities that Node trusts by itself, whatever the operator told Node of them
 * (`NODE_EXTRA_CA_CERTS`, `--use-openssl-ca`), and those of `federation.ca_path`. One list for other servers and for the
 * homeserver next door. https://spec.matrix.org/latest/server-server-api/#tls
 */
import { readFileSync } from 'node:fs'
import tls from 'node:tls'
import { certificatesBeforeFlaw } from './certificate-bundle.ts'

/** The part of Node's own context that its `ca` option is made of, and that has no documented name of its own. */
interface GrowingContext {
  addCACert(pem: string): void
}

/** @param authorities to be trusted beside the default ones, each a PEM text */
export function trustingContext(authorities: readonly string[]): tls.SecureContext {
  // Without `ca` it has the default authorities. With it they would be gone, and Node 20 cannot name them.
  const context = tls.createSecureContext()
  if (authorities.length === 0) return context
  const growing = context.context as GrowingContext
  for (const authority of [...extraOfNode, ...authorities]) growing.addCACert(authority)
  return context
}

/** Node 20 forgets these when another is added. */
const extraOfNode: readonly string[] = readExtra(process.env.NODE_EXTRA_CA_CERTS)

/** @returns none where the file cannot be read: Node has warned of it, and goes without */
function readExtra(path: string | undefined): readonly string[] {
  if (path === undefined) return []
  try {
    return certificatesBeforeFlaw(readFileSync(path, 'utf8'))
  } catch {
    return []
  }
}
