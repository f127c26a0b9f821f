/** Every sub-command with its options and help text: the contract that operators and scripts rely on. */
import { Command, InvalidArgumentError, type OutputConfiguration } from 'commander'
import { checkConfig } from './check-config.ts'
import { checkStore } from './check-store.ts'
import { configured } from './command-options.ts'
import {
  type DeliveryListOptions,
  type DropOptions,
  dropDeliveries,
  listDeliveries,
  type RetryOptions,
  retryDeliveries,
  showDeliveries,
} from './deliveries.ts'
import { type DoctorOptions, doctor } from './doctor.ts'
import { type ExplainOptions, explain } from './explain.ts'
import { addGenerators } from './generators.ts'
import { health } from './health.ts'
import { type ImportOptions, importRoomFiles } from './import-room.ts'
import { knockCommand } from './knock/command.ts'
import { type KnockListOptions, listKnocks } from './knocks.ts'
import type { MigrationOptions } from './migrate-store.ts'
import type { ExitCode, Output } from './outcome.ts'
import { type ListOptions, listRooms, showRoom } from './rooms.ts'
import { type CommandContext, type ConfigOption, withStore } from './with-config.ts'
import type { WriteOptions } from './write-file.ts'

/** @param finish takes the exit code of the command that ran */
export function createProgram(context: CommandContext, version: string, finish: (code: ExitCode) => void): Command {
  const program = new Command('matrix-knock')
    .description('Answers Matrix federation knocks beside any homeserver.')
    .version(version)
    .exitOverride()
    .configureOutput(through(context.output))
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', '\nExit codes: 0 done, 1 failed or refused, 2 wrong usage, 78 wrong configuration.')

  configured(program.command('run'), 'serve').action(async (option: ConfigOption) => {
    const { run } = await import('./run.ts')
    finish(await run(context, option))
  })
  configured(program.command('check-config'), 'say whether `run` would start').action(async (option: ConfigOption) =>
    finish(await checkConfig(context, option)),
  )
  addGenerators(program, context, finish)
  addRooms(program, context, finish)
  addKnocks(program, context, finish)
  addDeliveries(program, context, finish)
  addStore(program, context, finish)
  configured(program.command('health'), 'ask the running service at its admin address').action(
    async (option: ConfigOption) => finish(await health(context, option)),
  )
  configured(program.command('doctor'), 'say what works and what does not, and which line to change')
    .option('--public-url <url>', 'where remote servers reach the proxy: try a knock through it')
    .option('--json', 'as JSON')
    .action(async (options: DoctorOptions) => finish(await doctor(context, options)))
  program.addCommand(knockCommand(context.output, finish).copyInheritedSettings(program))
  return program
}

/** What commander says, which may repeat an argument, by the way out of all commands. */
function through({ out, err }: Output): OutputConfiguration {
  const by = (write: (line: string) => void) => (text: string) => {
    for (const line of text.replace(/\n$/, '').split('\n')) write(line)
  }
  return { writeOut: by(out), writeErr: by(err) }
}

function addRooms(program: Command, context: CommandContext, finish: (code: ExitCode) => void): void {
  const rooms = program.command('rooms').description('the rooms in the store')
  configured(rooms.command('import'), 'bring rooms in, or replace their state')
    .argument('<files...>', 'room files, JSON')
    .option('--discard-knocks', 'drop knocks that were accepted here and are not in the file')
    .option('--strict', 'refuse a file that there is anything to be warned of')
    .action(async (files: string[], options: ImportOptions) => finish(await importRoomFiles(context, files, options)))
  configured(rooms.command('export'), 'write one as a file that `rooms import` reads')
    .argument('<room>', 'room id')
    .option('-o, --output <file>', 'write there, not to standard output')
    .option('--overwrite', 'replace a file that is there')
    .action(async (room: string, options: ConfigOption & WriteOptions) => {
      const { exportRoomFile } = await import('./export-room.ts')
      finish(await withStore(context, options, (store) => exportRoomFile(store, room, options, context.output)))
    })
  configured(rooms.command('list'), 'list them')
    .option('--json', 'as JSON')
    .action(async (options: ConfigOption & ListOptions) =>
      finish(await withStore(context, options, (store) => listRooms(store, options, context.output))),
    )
  configured(rooms.command('show'), 'show one')
    .argument('<room>', 'room id')
    .option('--json', 'as JSON')
    .action(async (room: string, options: ConfigOption & ListOptions) =>
      finish(await withStore(context, options, (store) => showRoom(store, room, options, context.output))),
    )
}

function addKnocks(program: Command, context: CommandContext, finish: (code: ExitCode) => void): void {
  const knocks = program.command('knocks').description('what was decided about knocks')
  configured(knocks.command('list'), 'list decisions, newest first')
    .option('--json', 'as JSON')
    .option('--room <id>', 'of this room only')
    .option('--user <id>', 'of this user only')
    .option('--limit <number>', 'at most so many', positiveInteger, DEFAULT_DECISIONS)
    .action(async (options: ConfigOption & KnockListOptions) =>
      finish(await withStore(context, options, (store) => listKnocks(store, options, context.output))),
    )
  configured(program.command('explain'), 'say why a user could or could not knock on a room now')
    .argument('<room>', 'room id')
    .argument('<user>', 'user id')
    .option('--json', 'as JSON')
    .action(async (room: string, user: string, options: ConfigOption & ExplainOptions) =>
      finish(
        await withStore(context, options, (store, config) =>
          explain(store, config, { room, user }, options, context.output),
        ),
      ),
    )
}

function addDeliveries(program: Command, context: CommandContext, finish: (code: ExitCode) => void): void {
  const { output } = context
  const deliveries = program
    .command('deliveries')
    .description('accepted knocks that other servers have not received yet')
  configured(deliveries.command('list'), 'list the servers for which some wait')
    .option('--json', 'as JSON')
    .action(async (options: ConfigOption & DeliveryListOptions) =>
      finish(await withStore(context, options, (store) => listDeliveries(store, options, output))),
    )
  configured(deliveries.command('show'), 'list what waits for a server')
    .argument('<destination>', 'server name')
    .option('--json', 'as JSON')
    .action(async (destination: string, options: ConfigOption & DeliveryListOptions) =>
      finish(await withStore(context, options, (store) => showDeliveries(store, destination, options, output))),
    )
  configured(deliveries.command('retry'), 'try a server that waits after failures again now')
    .argument('[destination]', 'server name')
    .option('--all', 'every server')
    .action(async (destination: string | undefined, options: ConfigOption & RetryOptions) =>
      finish(await withStore(context, options, (store) => retryDeliveries(store, destination, options, output))),
    )
  configured(deliveries.command('drop'), 'give up what waits for a server')
    .argument('<destination>', 'server name')
    .option('--event <id>', 'this event alone')
    .action(async (destination: string, options: ConfigOption & DropOptions) =>
      finish(await withStore(context, options, (store) => dropDeliveries(store, destination, options, output))),
    )
}

function addStore(program: Command, context: CommandContext, finish: (code: ExitCode) => void): void {
  const store = program.command('store').description('the store itself')
  configured(store.command('check'), 'look for damage, and for rows that do not agree with each other').action(
    async (options: ConfigOption) =>
      finish(await withStore(context, options, (opened) => checkStore(opened, context.output))),
  )
  store
    .command('migrate')
    .description('copy a whole store into an empty one; nobody may use either meanwhile')
    .exitOverride()
    .requiredOption('--from <store>', 'sqlite:PATH')
    .requiredOption('--to <store>', 'postgres://USER@HOST:PORT/DATABASE; a password may be in PGPASSWORD')
    .action(async (options: MigrationOptions) => {
      const { runMigration } = await import('./migrate-store.ts')
      finish(await runMigration(options, context.output))
    })
}

const DEFAULT_DECISIONS = 100
const MOST_DECISIONS = 100_000

function positiveInteger(text: string): number {
  const number = Number(text)
  if (Number.isInteger(number) && number > 0 && number <= MOST_DECISIONS) return number
  throw new InvalidArgumentError(`expected an integer from 1 to ${MOST_DECISIONS}`)
}
