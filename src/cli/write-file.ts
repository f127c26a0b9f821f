/** Writes what a generator made, to standard output or to a new file. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { ExitCode, Output } from './outcome.ts'

export interface WriteOptions {
  /** Path given with `-o`; standard output without it. */
  readonly output?: string
  readonly overwrite?: boolean
}

/**
 * Writes a text. An existing file is never touched without `--overwrite`.
 * @param mode permission bits of a new file
 */
export async function writeGenerated(
  text: string,
  { output: path, overwrite }: WriteOptions,
  mode: number,
  output: Output,
): Promise<ExitCode> {
  if (path === undefined) {
    output.out(text.trimEnd())
    return 0
  }
  try {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text, { mode, flag: overwrite === true ? 'w' : 'wx' })
    return 0
  } catch (error) {
    const { code, syscall, message } = error as NodeJS.ErrnoException
    output.err(
      code === 'EEXIST' && syscall === 'open'
        ? `${path} exists already; nothing was written. Give another path, or --overwrite.`
        : `${path} cannot be written: ${message}`,
    )
    return 1
  }
}
