/** The checks of `doctor` that the configuration asks for. */
import type { OperatorFiles } from '../config/operator-files.ts'
import type { Config } from '../config/schema.ts'
import { type Checked, note, ok, runChecks } from '../doctor/check.ts'
import { homeserverChecks, keylessChecks } from '../doctor/homeserver-checks.ts'
import { publicCheck } from '../doctor/public-check.ts'
import { roomsCheck } from '../doctor/rooms-check.ts'
import { createHomeserverClient, type HomeserverClient, markerOf } from '../homeserver/homeserver-client.ts'
import type { Clock } from '../knock/ports/rooms.ts'
import type { Store } from '../knock/ports/store.ts'
import { nativeEd25519 } from '../matrix/ed25519.ts'

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
    ...(checked.ok ? await runChecks([roomsCheck(store)]) : []),
  ]
  const clients: HomeserverClient[] = []
  const clientAt = (url: string, marker: string): HomeserverClient => {
    const client = createHomeserverClient({ ...shared(parts), signingKey: files.signingKey, url, marker })
    clients.push(client)
    return client
  }
  try {
    return [...first, ...(await checkHomeserver(parts, clientAt)), ...(await checkPublic(parts, publicUrl, clientAt))]
  } finally {
    await Promise.all(clients.map((client) => client.close()))
  }
}

function shared({ config, files, clock }: ConfiguredDoctor) {
  const { caCertificates } = files
  return { serverName: config.server_name, ed25519: nativeEd25519, clock, caCertificates }
}

type ClientAt = (url: string, marker: string) => HomeserverClient

async function checkHomeserver(parts: ConfiguredDoctor, clientAt: ClientAt): Promise<readonly Checked[]> {
  const { config, files } = parts
  const { url } = config.homeserver
  if (url === undefined) return [{ name: 'homeserver', ...note('none: homeserver.handover is none') }]
  const { signingKey, registration } = files
  const marker = markerOf({ serverName: config.server_name, signingKey })
  const inReach = { ...shared(parts), client: clientAt(url, marker), url, marker }
  if (signingKey === undefined) return runChecks(keylessChecks(inReach))
  const appservice = registration && { id: registration.id, asToken: registration.asToken }
  return runChecks(homeserverChecks({ ...inReach, signingKey, appservice }))
}

async function checkPublic(
  { config, files, clock }: ConfiguredDoctor,
  url: string | undefined,
  clientAt: ClientAt,
): Promise<readonly Checked[]> {
  if (url === undefined) return [{ name: 'reverse proxy', ...note('not tried: give --public-url https://HOST[:PORT]') }]
  if (files.signingKey === undefined) {
    return [{ name: 'reverse proxy', ...note('not tried: a knock of our own name takes the signing key') }]
  }
  return runChecks([publicCheck({ client: clientAt(url, 'doctor'), url, serverName: config.server_name, clock })])
}
