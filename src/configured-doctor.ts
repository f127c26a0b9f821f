/** The checks of `doctor` that the configuration asks for. */
import type { OperatorFiles } from './config/operator-files.ts'
import type { Config } from './config/schema.ts'
import { type Checked, note, ok, runChecks } from './doctor/check.ts'
import { homeserverChecks } from './doctor/homeserver-checks.ts'
import { publicCheck } from './doctor/public-check.ts'
import { createHomeserverClient, type HomeserverClient, markerOf } from './homeserver/homeserver-client.ts'
import type { Clock } from './knock/ports.ts'
import type { Store } from './knock/store-ports.ts'
import { nativeEd25519, type SigningKey } from './matrix/ed25519.ts'

export interface ConfiguredDoctor {
  readonly config: Config
  readonly files: OperatorFiles
  readonly store: Store
  readonly clock: Clock
  /** Where remote servers reach the proxy; undefined where that is not to be tried. */
  readonly publicUrl: string | undefined
}

export async function runConfiguredDoctor(parts: ConfiguredDoctor): Promise<readonly Checked[]> {
  const { config, files, store, publicUrl } = parts
  const checked = await store.check()
  const first: Checked[] = [
    { name: 'configuration', ...ok(`valid, for ${config.server_name}`) },
    ...files.warnings.map((warning) => ({ name: 'files', ...note(warning) })),
    {
      name: 'store',
      ...(checked.ok
        ? ok(`${config.store.kind} can be read and written`)
        : {
            outcome: 'failed' as const,
            detail: checked.reason,
            remedy: 'store: see its path or url',
            docs: 'docs/storage.md',
          }),
    },
  ]
  const { signingKey } = files
  if (signingKey === undefined) return first
  const clients: HomeserverClient[] = []
  const clientAt = (url: string, marker: string): HomeserverClient => {
    const client = createHomeserverClient({ ...shared(parts, signingKey), url, marker })
    clients.push(client)
    return client
  }
  try {
    return [
      ...first,
      ...(await checkHomeserver(parts, signingKey, clientAt)),
      ...(await checkPublic(parts, publicUrl, clientAt)),
    ]
  } finally {
    await Promise.all(clients.map((client) => client.close()))
  }
}

function shared({ config, files, clock }: ConfiguredDoctor, signingKey: SigningKey) {
  const { caCertificates } = files
  return { serverName: config.server_name, signingKey, ed25519: nativeEd25519, clock, caCertificates }
}

type ClientAt = (url: string, marker: string) => HomeserverClient

async function checkHomeserver(
  parts: ConfiguredDoctor,
  signingKey: SigningKey,
  clientAt: ClientAt,
): Promise<readonly Checked[]> {
  const { config, files } = parts
  const { url } = config.homeserver
  if (url === undefined) return [{ name: 'homeserver', ...note('none: homeserver.handover is none') }]
  const marker = markerOf(config.server_name, signingKey.seed)
  const { registration } = files
  const appservice = registration && { id: registration.id, asToken: registration.asToken }
  return runChecks(
    homeserverChecks({ ...shared(parts, signingKey), client: clientAt(url, marker), url, marker, appservice }),
  )
}

async function checkPublic(
  { config, clock }: ConfiguredDoctor,
  url: string | undefined,
  clientAt: ClientAt,
): Promise<readonly Checked[]> {
  if (url === undefined) return [{ name: 'reverse proxy', ...note('not tried: give --public-url https://HOST[:PORT]') }]
  return runChecks([publicCheck({ client: clientAt(url, 'doctor'), url, serverName: config.server_name, clock })])
}
