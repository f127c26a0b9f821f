/** `generate-registration`: the application service registration, with new tokens, where service and homeserver find it. */
import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import type { Problem } from '../config/problem.ts'
import { reachableAddress } from '../config/reachable.ts'
import { writeRegistration } from '../config/registration-file.ts'
import type { Config } from '../config/schema.ts'
import { type ExitCode, misconfigured } from './outcome.ts'
import { type CommandContext, type ConfigOption, withConfig } from './with-config.ts'
import { FILE_MODES, type WriteOptions, writeGenerated } from './write-file.ts'

const TOKEN_BYTES = 32

export function generateRegistration(context: CommandContext, options: ConfigOption & WriteOptions): Promise<ExitCode> {
  const { output } = context
  return withConfig(context, options, async ({ homeserver: { appservice } }, line) => {
    if (appservice === undefined) return misconfigured(output, [line(NO_SECTION)])
    if (appservice.listen.port === 0) return misconfigured(output, [line(NO_PORT)])
    const path = options.output ?? appservice.registration_path
    const file = { ...options, output: path }
    // The homeserver gets it through its group, or as a copy.
    const code = await writeGenerated(newRegistration(appservice), file, FILE_MODES.ownerAlone, output)
    if (code !== 0) return code
    for (const told of whatToDo(path)) output.out(told)
    return 0
  })
}

const NO_SECTION: Problem = {
  key: 'homeserver.appservice',
  what: 'is missing; expected a section such as { listen: { host: 127.0.0.1, port: 8452 } }',
}
const NO_PORT: Problem = {
  key: 'homeserver.appservice.listen.port',
  what: 'is 0, any free port, which the registration cannot name; expected an integer from 1 to 65535',
}

type Appservice = NonNullable<Config['homeserver']['appservice']>

function newRegistration({ listen }: Appservice): string {
  const url = `http://${reachableAddress(listen.host, listen.port)}`
  const [asToken, hsToken] = [newToken(), newToken()]
  return writeRegistration({ url, asToken, hsToken })
}

function newToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url')
}

function whatToDo(path: string): readonly string[] {
  const absolute = JSON.stringify(resolve(path))
  return [
    `Written: ${path}, readable by its owner alone. The homeserver must be able to read it too. Add it there:`,
    `  Synapse, homeserver.yaml:  app_service_config_files: [${absolute}]`,
    `  Dendrite, dendrite.yaml:   app_service_api: { config_files: [${absolute}] }`,
    'Then restart the homeserver.',
  ]
}
