/** Options that several commands share. */
import type { Command } from 'commander'

/** A command on the configuration. */
export function configured(command: Command, description: string): Command {
  return command
    .description(description)
    .requiredOption('-c, --config <file>', 'configuration file, repeatable: merged left to right', collect)
}

/** A command that writes a file. @param otherwise where it writes without `-o` */
export function generator(command: Command, description: string, otherwise = 'standard output'): Command {
  return command
    .description(description)
    .option('-o, --output <file>', `write to this file (default: ${otherwise})`)
    .option('--overwrite', 'replace an existing file')
}

function collect(path: string, paths: readonly string[] | undefined): readonly string[] {
  return [...(paths ?? []), path]
}
