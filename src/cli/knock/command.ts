/** The `knock` sub-command: its options and help text. Part of the contract that scripts rely on. */
import { Command } from 'commander'
import type { ExitCode, Output } from '../outcome.ts'
import { knock } from './knock.ts'
import { KNOCKABLE_VERSIONS, type KnockOptions, readKnockOptions } from './options.ts'

const collect = (value: string, list: readonly string[] | undefined): readonly string[] => [...(list ?? []), value]

/**
 * @param finish takes the exit code: 0 accepted, 1 refused or failed, 2 an option is wrong
 */
export function knockCommand(output: Output, finish: (code: ExitCode) => void): Command {
  return new Command('knock')
    .description('be the remote side: knock on a room at a resident server and tell each step')
    .requiredOption('--via <url>', 'base URL of the resident, http or https')
    .requiredOption('--room <id>', 'room to knock on')
    .requiredOption('--user <id>', 'user who knocks')
    .requiredOption('--server-name <name>', 'server name of the user')
    .requiredOption('--signing-key <file>', 'signing key of that server, `ed25519 VERSION SEED`')
    .requiredOption('--listen <host:port>', 'where to serve the key over HTTPS: where the server name leads')
    .requiredOption('--tls-cert <file>', 'certificate for that, PEM')
    .requiredOption('--tls-key <file>', 'its private key, PEM')
    .option('--ca <file>', 'further certificate authorities for an https resident, PEM')
    .option('--ver <version>', `room version to offer, repeatable (default: ${KNOCKABLE_VERSIONS.join(' ')})`, collect)
    .option('--reason <text>', 'reason to give to the room')
    .option(
      '--destination <name>',
      "the resident's server name (default: what its key endpoint says, else the domain of the room id, else the host of the URL)",
    )
    .action(async (options: KnockOptions) => {
      const order = await readKnockOptions(options)
      if (!order.ok) {
        output.err(order.reason)
        finish(2)
        return
      }
      finish(await knock(order.knock, Date.now(), output.out))
    })
}
