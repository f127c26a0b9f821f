/** The files that the configuration names: signing key, certificate authorities, TLS certificate. Read once, at start. */
import { readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { createSecureContext } from 'node:tls'
import type { SigningKey } from '../matrix/ed25519.ts'
import { parseSigningKeyFile } from '../matrix/signing-key-file.ts'
import { parseCertificateBundle } from './certificate-authorities.ts'
import type { Problem } from './problem.ts'
import type { Config } from './schema.ts'

export interface OperatorFiles {
  readonly signingKey: SigningKey
  /** Of `federation.ca_path`: each a PEM text. */
  readonly caCertificates: readonly string[]
  /** Of `listen.tls`, PEM. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined
  /** What the operator should mend although the service can run. */
  readonly warnings: readonly string[]
}

export type Loaded<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** All that `run` needs beside the configuration itself. */
export async function loadOperatorFiles(config: Config): Promise<Loaded<OperatorFiles>> {
  const [key, authorities, tls, store] = await Promise.all([
    loadSigningKey(config),
    loadAuthorities(config),
    loadTls(config),
    checkStorePath(config),
  ])
  const problems = [key, authorities, tls, store].flatMap((result) => (result.ok ? [] : result.problems))
  if (!key.ok || !authorities.ok || !tls.ok || !store.ok) return { ok: false, problems }
  const { signingKey, warnings } = key.value
  return { ok: true, value: { signingKey, warnings, caCertificates: authorities.value, tls: tls.value } }
}

/** The signing key, with a warning where others can read its file. */
export async function loadSigningKey({
  signing_key_path: path,
}: Config): Promise<Loaded<{ readonly signingKey: SigningKey; readonly warnings: readonly string[] }>> {
  const text = await readText('signing_key_path', path)
  if (!text.ok) {
    const remedy = `make a key with \`matrix-knock generate-key -o ${path}\`, or give the homeserver's own key file`
    return { ok: false, problems: text.problems.map(({ key, what }) => ({ key, what: `${what}; ${remedy}` })) }
  }
  const parsed = parseSigningKeyFile(text.value)
  if (!parsed.ok) {
    return wrong('signing_key_path', `${path}: ${parsed.reason}; expected one line \`ed25519 VERSION SEED\``)
  }
  const { mode } = await stat(path)
  const exposed = process.platform !== 'win32' && (mode & 0o077) !== 0
  const warnings = exposed
    ? [`signing_key_path: ${path} is readable by others; mend it with \`chmod 600 ${path}\``]
    : []
  return { ok: true, value: { signingKey: parsed.key, warnings } }
}

async function loadAuthorities({ federation }: Config): Promise<Loaded<readonly string[]>> {
  const certificates: string[] = []
  const problems: Problem[] = []
  for (const path of federation.ca_path) {
    const text = await readText('federation.ca_path', path)
    const bundle = text.ok ? parseCertificateBundle(text.value) : undefined
    if (!text.ok) problems.push(...text.problems)
    else if (bundle?.ok) certificates.push(...bundle.certificates)
    else problems.push({ key: 'federation.ca_path', what: `${path} ${bundle?.reason}; expected certificates in PEM` })
  }
  return problems.length === 0 ? { ok: true, value: certificates } : { ok: false, problems }
}

async function loadTls({ listen }: Config): Promise<Loaded<OperatorFiles['tls']>> {
  if (listen.tls === undefined) return { ok: true, value: undefined }
  const cert = await readText('listen.tls.cert_path', listen.tls.cert_path)
  const key = await readText('listen.tls.key_path', listen.tls.key_path)
  if (!cert.ok) return cert
  if (!key.ok) return key
  try {
    createSecureContext({ cert: cert.value, key: key.value })
  } catch (error) {
    return wrong('listen.tls', `${(error as Error).message}; expected a certificate chain and its private key in PEM`)
  }
  return { ok: true, value: { cert: cert.value, key: key.value } }
}

async function checkStorePath({ store }: Config): Promise<Loaded<undefined>> {
  if (store.kind !== 'sqlite') return { ok: true, value: undefined }
  const directory = dirname(store.path)
  const found = await stat(directory).catch(() => undefined)
  if (found?.isDirectory()) return { ok: true, value: undefined }
  return wrong('store.path', `the directory ${directory} does not exist; expected a path in an existing directory`)
}

async function readText(key: string, path: string): Promise<Loaded<string>> {
  try {
    return { ok: true, value: await readFile(path, 'utf8') }
  } catch (error) {
    return wrong(key, `${path} cannot be read (${(error as NodeJS.ErrnoException).code}); expected a readable file`)
  }
}

function wrong(key: string, what: string): { readonly ok: false; readonly problems: readonly Problem[] } {
  return { ok: false, problems: [{ key, what }] }
}
