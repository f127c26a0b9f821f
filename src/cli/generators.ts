/** The commands that write files for operators, with their options and help text. */
import { Argument, type Command, InvalidArgumentError, Option } from 'commander'
import { PROXIES, type ProxyName } from '../config/proxy/proxies.ts'
import { parseHomeserverUrl } from '../config/values.ts'
import { configured, generator } from './command-options.ts'
import { type GenerateConfigOptions, generateConfig } from './generate-config.ts'
import { generateKey } from './generate-key.ts'
import { type GenerateProxyOptions, generateProxy } from './generate-proxy.ts'
import { generateRegistration } from './generate-registration.ts'
import type { ExitCode } from './outcome.ts'
import type { CommandContext, ConfigOption } from './with-config.ts'
import type { WriteOptions } from './write-file.ts'

type Finish = (code: ExitCode) => void
type FromConfig = ConfigOption & WriteOptions

/** Adds them. @param finish takes the exit code of the command that ran */
export function addGenerators(program: Command, context: CommandContext, finish: Finish): void {
  addGenerateConfig(program, context, finish)
  generator(program.command('generate-key'), 'write a new signing key').action(async (options: WriteOptions) =>
    finish(await generateKey(options, context.output)),
  )
  const registration = configured(program.command('generate-registration'), '')
  const what = 'write the registration by which the homeserver tells of its rooms'
  generator(registration, what, 'homeserver.appservice.registration_path').action(async (options: FromConfig) =>
    finish(await generateRegistration(context, options)),
  )
  const proxy = configured(program.command('generate-proxy'), '')
  generator(proxy, 'write what a reverse proxy needs to send knocks here')
    .addArgument(new Argument('<proxy>').choices(Object.keys(PROXIES)))
    .option(
      '--no-fallback',
      'never to the homeserver itself, even where it can knock and this service cannot be reached',
    )
    .action(async (name: ProxyName, options: GenerateProxyOptions) =>
      finish(await generateProxy(context, name, options)),
    )
}

function addGenerateConfig(program: Command, { output }: CommandContext, finish: Finish): void {
  const command = program.command('generate-config')
  generator(command, 'write a sample configuration, or one beside a homeserver')
    .addOption(new Option('--from-synapse <file>', "from Synapse's homeserver.yaml").conflicts('fromDendrite'))
    .option('--from-dendrite <file>', 'from dendrite.yaml')
    .option('--homeserver-url <url>', 'where that homeserver answers (default: as its file says)', homeserverUrl)
    .action(async (options: GenerateConfigOptions) => {
      const alone = options.fromSynapse === undefined && options.fromDendrite === undefined
      if (alone && options.homeserverUrl !== undefined) {
        command.error('error: --homeserver-url goes with --from-synapse or --from-dendrite')
      }
      finish(await generateConfig(options, output))
    })
}

function homeserverUrl(text: string): string {
  const url = parseHomeserverUrl(text)
  if (url === undefined) throw new InvalidArgumentError('expected http://HOST:PORT or https://HOST:PORT')
  return url
}
