/**
 * Certificate authorities that an operator adds for federation: read strictly, because TLS passes over what is no PEM.
 * https://spec.matrix.org/latest/server-server-api/#tls
 */
import { X509Certificate } from 'node:crypto'

export type CertificateBundle =
  | { readonly ok: true; readonly certificates: readonly string[] }
  | { readonly ok: false; readonly reason: string }

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g

/**
 * Reads the certificates of a PEM file, for `federation.ca_path`.
 * @param text the whole file; text around the certificates is passed over, as usual in bundles
 * @returns each certificate as a PEM text of its own, or what is wrong with the file
 */
export function parseCertificateBundle(text: string): CertificateBundle {
  const blocks = text.match(PEM_BLOCK) ?? []
  if (blocks.length === 0) return { ok: false, reason: 'holds no PEM certificate' }
  const certificates = certificatesBeforeFlaw(text)
  if (certificates.length === blocks.length) return { ok: true, certificates }
  return { ok: false, reason: `certificate ${certificates.length + 1} cannot be read` }
}

/**
 * The certificates of a PEM file as Node takes `NODE_EXTRA_CA_CERTS`: those before the first that cannot be read.
 * @returns each as a PEM text of its own
 */
export function certificatesBeforeFlaw(text: string): readonly string[] {
  const blocks = text.match(PEM_BLOCK) ?? []
  const flaw = blocks.findIndex((block) => !isCertificate(block))
  return flaw < 0 ? blocks : blocks.slice(0, flaw)
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject !== undefined
  } catch {
    return false
  }
}
