/** A working configuration beside a homeserver, made from what its own configuration file says. */
import { readDendriteFile } from './from-dendrite.ts'
import { readSynapseFile } from './from-synapse.ts'
import { type HomeserverFacts, readHomeserverFile } from './homeserver-file.ts'
import { commentedConfig } from './sample.ts'

export interface HomeserverSource {
  readonly kind: 'synapse' | 'dendrite'
  /** Of its configuration file. */
  readonly path: string
  /** Where it answers, if the operator says so. */
  readonly url?: string
}

export type ConfigBeside =
  | { readonly ok: true; readonly text: string; readonly notes: readonly string[]; readonly facts: HomeserverFacts }
  | { readonly ok: false; readonly problems: readonly string[] }

const KINDS = {
  synapse: { name: 'Synapse', read: readSynapseFile, handover: 'forward' },
  dendrite: { name: 'Dendrite', read: readDendriteFile, handover: 'inject' },
} as const

/** Reads the homeserver's file. @returns the text of a configuration, or one line for each thing that is wrong */
export async function configBeside({ kind, path, url }: HomeserverSource): Promise<ConfigBeside> {
  const { name, read, handover } = KINDS[kind]
  const result = await readHomeserverFile(path)
  if (!result.ok) return { ok: false, problems: [result.problem] }
  const facts = read(result.file, url)
  if (facts === undefined) return { ok: false, problems: result.file.problems }
  const head = `# Configuration of matrix-knock beside ${name}, made from ${path.replace(/\s/g, ' ')}.
# Several files are merged left to right (-c base.yaml -c local.yaml). A variable MATRIX_KNOCK__SECTION__KEY overrides
# section.key. Relative paths start at the working directory. Unknown keys are errors.
`
  return { ok: true, text: commentedConfig(head, chosen(facts, handover)), notes: facts.notes, facts }
}

/** The files of our own lie in the working directory, which is always there. */
function chosen(facts: HomeserverFacts, handover: string) {
  return {
    server_name: facts.serverName,
    signing_key_path: facts.signingKeyPath,
    store: { kind: 'sqlite', path: './knock.db' },
    homeserver: {
      handover,
      url: facts.url,
      template: 'own',
      appservice: { listen: { host: '127.0.0.1', port: 8452 }, registration_path: './registration.yaml' },
    },
    federation: { trusted_key_servers: facts.trustedKeyServers, allow_servers: facts.allowServers },
  }
}
