/** `generate-config`: the sample configuration, or one made from the configuration of a homeserver. */
import { access, constants } from 'node:fs/promises'
import { configBeside, type HomeserverSource } from '../config/config-beside.ts'
import { sampleConfig } from '../config/sample.ts'
import { type ExitCode, misconfigured, type Output } from './outcome.ts'
import { FILE_MODES, type WriteOptions, writeGenerated } from './write-file.ts'

export interface GenerateConfigOptions extends WriteOptions {
  /** Path of Synapse's homeserver.yaml. */
  readonly fromSynapse?: string
  /** Path of dendrite.yaml. */
  readonly fromDendrite?: string
  /** Where that homeserver answers. */
  readonly homeserverUrl?: string
}

export async function generateConfig(options: GenerateConfigOptions, output: Output): Promise<ExitCode> {
  const source = homeserverSource(options)
  if (source === undefined) return writeGenerated(sampleConfig(), options, FILE_MODES.everybodyReads, output)
  const made = await configBeside(source)
  if (!made.ok) return misconfigured(output, made.problems)
  const code = await writeGenerated(made.text, options, FILE_MODES.everybodyReads, output)
  if (code !== 0) return code
  for (const note of made.notes) output.err(`note: ${note}`)
  const { signingKeyPath } = made.facts
  const readable = await access(signingKeyPath, constants.R_OK).then(
    () => true,
    () => false,
  )
  if (!readable) output.err(`note: signing_key_path: ${signingKeyPath} cannot be read; put the right path there`)
  return 0
}

function homeserverSource({ fromSynapse, fromDendrite, homeserverUrl }: GenerateConfigOptions) {
  const url = homeserverUrl === undefined ? {} : { url: homeserverUrl }
  if (fromSynapse !== undefined) return { kind: 'synapse', path: fromSynapse, ...url } satisfies HomeserverSource
  if (fromDendrite !== undefined) return { kind: 'dendrite', path: fromDendrite, ...url } satisfies HomeserverSource
  return undefined
}
