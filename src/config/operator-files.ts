/** The files that the configuration names: keys, certificates, the registration. Read once, at start. */
import { readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { createSecureContext } from 'node:tls'
import { isSmallOrder, type SigningKey } from '../matrix/ed25519.ts'
import { parseSigningKeyFile } from '../matrix/signing-key-file.ts'
import { parseCertificateBundle } from '../transport/certificate-bundle.ts'
import { everybodyMayRead, othersMayRead } from './permissions.ts'
import type { Problem } from './problem.ts'
import { parseRegistration, type Registration } from './registration-file.ts'
import type { Config } from './schema.ts'
import { isPostgresUrl } from './values.ts'

export interface OperatorFiles {
  /** Always there but with `handover: forward` and `template: upstream`, which do without. */
  readonly signingKey: SigningKey | undefined
  /** Of `homeserver.appservice`. */
  readonly registration: Registration | undefined
  /** Of `federation.ca_path`: each a PEM text. */
  readonly caCertificates: readonly string[]
  /** Of `listen.tls`, PEM. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined
  /** What the operator should mend although the service can run. */
  readonly warnings: readonly string[]
}

const READABLE = 'expected a readable file'
const WITHOUT_KEY =
  'the service runs without it and leaves the rules of rooms to the homeserver, as homeserver.template upstream allows'

const NOT_LISTENING =
  'homeserver.appservice: without the signing key no rooms are kept, so there is nothing to be told of: nobody listens there, leave the section out'

const WRITE_REGISTRATION = 'write it with `matrix-knock generate-registration -c CONFIG`'

export type Loaded<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** All that `run` needs beside the configuration itself. */
export async function loadOperatorFiles(config: Config): Promise<Loaded<OperatorFiles>> {
  const [key, registration, authorities, tls, store] = await Promise.all([
    loadSigningKey(config),
    loadRegistration(config),
    loadAuthorities(config),
    loadTls(config),
    checkStore(config),
  ])
  const problems = [key, registration, authorities, tls, store].flatMap((result) => (result.ok ? [] : result.problems))
  problems.push(...oldKeyProblems(config, key.ok ? key.value.signingKey : undefined))
  if (problems.length > 0) return { ok: false, problems }
  if (!key.ok || !registration.ok || !authorities.ok || !tls.ok || !store.ok) return { ok: false, problems }
  const unread = key.value.signingKey === undefined && config.homeserver.appservice !== undefined ? [NOT_LISTENING] : []
  return {
    ok: true,
    value: {
      signingKey: key.value.signingKey,
      registration: registration.value.registration,
      caCertificates: authorities.value,
      tls: tls.value,
      warnings: [...key.value.warnings, ...registration.value.warnings, ...unread, ...store.value.warnings],
    },
  }
}

/** What cannot be among the keys with which the server signed before. */
function oldKeyProblems(
  { old_verify_keys: old, signing_key_path: path }: Config,
  now: SigningKey | undefined,
): Problem[] {
  const problem = (what: string) => ({ key: 'old_verify_keys', what })
  return [...old].flatMap(([keyId, keys]) => {
    const problems: Problem[] = []
    const texts = keys.map((key) => Buffer.from(key).toString('base64'))
    if (new Set(texts).size < texts.length) problems.push(problem(`${keyId} has the same key twice; name it once`))
    if (keys.some(isSmallOrder)) {
      problems.push(problem(`${keyId} is a key under which everybody can sign; no server has it: leave it out`))
    }
    const current = now?.keyId === keyId ? Buffer.from(now.publicKey).toString('base64') : undefined
    if (current !== undefined && texts.includes(current)) {
      problems.push(problem(`${keyId} is the key in ${path}, which is no earlier one; leave it out`))
    }
    return problems
  })
}

interface LoadedKey {
  readonly signingKey: SigningKey | undefined
  readonly warnings: readonly string[]
}

/** The signing key, with a warning where others can read its file, or where the service has to do without. */
export async function loadSigningKey({ signing_key_path: path, homeserver }: Config): Promise<Loaded<LoadedKey>> {
  const key = 'signing_key_path'
  const file = await readText(path)
  if (!file.ok) {
    if (homeserver.handover === 'forward' && homeserver.template === 'upstream') {
      return { ok: true, value: { signingKey: undefined, warnings: [`${key}: ${file.reason}: ${WITHOUT_KEY}`] } }
    }
    const remedy = `make a key with \`matrix-knock generate-key -o ${path}\`, or give the homeserver's own key file`
    return wrong(key, `${file.reason}; ${READABLE}; ${remedy}`)
  }
  const parsed = parseSigningKeyFile(file.text)
  if (!parsed.ok) return wrong(key, `${path}: ${parsed.reason}; expected the homeserver's own key file`)
  return { ok: true, value: { signingKey: parsed.key, warnings: await exposure(key, path) } }
}

/** The URL of the PostgreSQL database, with a warning where others can read the file that holds it. */
export async function loadStoreUrl({
  store: { url, url_path: path = '' },
}: Config): Promise<Loaded<{ readonly url: string; readonly warnings: readonly string[] }>> {
  if (url !== undefined) return { ok: true, value: { url, warnings: [] } }
  const key = 'store.url_path'
  const file = await readText(path)
  if (!file.ok) return wrong(key, `${file.reason}; ${READABLE}`)
  const read = file.text.trim()
  if (!isPostgresUrl(read)) {
    return wrong(key, `${path} holds no URL; expected one line postgres://USER:PASSWORD@HOST:PORT/DATABASE`)
  }
  return { ok: true, value: { url: read, warnings: await exposure(key, path) } }
}

/** A warning where others can read a file that only its owner should. */
async function exposure(key: string, path: string): Promise<readonly string[]> {
  return (await othersMayRead(path))
    ? [`${key}: ${path} is readable by others; mend it with \`chmod 600 ${path}\``]
    : []
}

interface LoadedRegistration {
  readonly registration: Registration | undefined
  readonly warnings: readonly string[]
}

/** The registration, where there is an application service. */
export async function loadRegistration({ homeserver }: Config): Promise<Loaded<LoadedRegistration>> {
  if (homeserver.appservice === undefined) return { ok: true, value: { registration: undefined, warnings: [] } }
  const key = 'homeserver.appservice.registration_path'
  const path = homeserver.appservice.registration_path
  const file = await readText(path)
  if (!file.ok) return wrong(key, `${file.reason}; ${WRITE_REGISTRATION}`)
  const parsed = parseRegistration(file.text)
  if (!parsed.ok) return wrong(key, `${path} ${parsed.reason}; ${WRITE_REGISTRATION}`)
  const warnings: string[] = []
  // The homeserver reads it too, perhaps through its group.
  if (await everybodyMayRead(path)) {
    warnings.push(`${key}: ${path} is readable by everybody; mend it with \`chmod o= ${path}\``)
  }
  if (homeserver.handover === 'none') {
    warnings.push('homeserver.appservice: with homeserver.handover none there is no homeserver to be told by')
  }
  return { ok: true, value: { registration: parsed.registration, warnings } }
}

async function loadAuthorities({ federation }: Config): Promise<Loaded<readonly string[]>> {
  const key = 'federation.ca_path'
  const certificates: string[] = []
  const problems: Problem[] = []
  for (const path of federation.ca_path) {
    const file = await readText(path)
    const bundle = file.ok ? parseCertificateBundle(file.text) : undefined
    if (!file.ok) problems.push({ key, what: `${file.reason}; ${READABLE}` })
    else if (bundle?.ok) certificates.push(...bundle.certificates)
    else problems.push({ key, what: `${path} ${bundle?.reason}; expected certificates in PEM` })
  }
  return problems.length === 0 ? { ok: true, value: certificates } : { ok: false, problems }
}

async function loadTls({ listen }: Config): Promise<Loaded<OperatorFiles['tls']>> {
  if (listen.tls === undefined) return { ok: true, value: undefined }
  const cert = await readText(listen.tls.cert_path)
  const key = await readText(listen.tls.key_path)
  if (!cert.ok) return wrong('listen.tls.cert_path', `${cert.reason}; ${READABLE}`)
  if (!key.ok) return wrong('listen.tls.key_path', `${key.reason}; ${READABLE}`)
  try {
    createSecureContext({ cert: cert.text, key: key.text })
  } catch (error) {
    return wrong('listen.tls', `${(error as Error).message}; expected a certificate chain and its private key in PEM`)
  }
  return { ok: true, value: { cert: cert.text, key: key.text } }
}

async function checkStore(config: Config): Promise<Loaded<{ readonly warnings: readonly string[] }>> {
  const { store } = config
  if (store.kind === 'postgres') return loadStoreUrl(config)
  if (store.kind !== 'sqlite') return { ok: true, value: { warnings: [] } }
  const directory = dirname(store.path)
  const found = await stat(directory).catch(() => undefined)
  if (found?.isDirectory()) return { ok: true, value: { warnings: [] } }
  return wrong('store.path', `the directory ${directory} does not exist; expected a path in an existing directory`)
}

type FileText = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly reason: string }

async function readText(path: string): Promise<FileText> {
  try {
    return { ok: true, text: await readFile(path, 'utf8') }
  } catch (error) {
    return { ok: false, reason: `${path} cannot be read (${(error as NodeJS.ErrnoException).code})` }
  }
}

function wrong(key: string, what: string): { readonly ok: false; readonly problems: readonly Problem[] } {
  return { ok: false, problems: [{ key, what }] }
}
