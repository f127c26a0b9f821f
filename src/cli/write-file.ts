/** The one way in which commands write files: a new file, or one that takes another's place at once. */
import { randomUUID } from 'node:crypto'
import type { Stats } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { type ExitCode, type Output, outText } from './outcome.ts'

export interface WriteOptions {
  /** Path given with `-o`; standard output without it. */
  readonly output?: string
  readonly overwrite?: boolean
}

/** Permission bits of a new file. */
export const FILE_MODES = { everybodyReads: 0o644, ownerAlone: 0o600 } as const

/** What is written where. */
export interface NewFile {
  readonly path: string
  readonly chunks: Iterable<string> | AsyncIterable<string>
  readonly mode: number
  /** Whether it may take the place of a file that is there. */
  readonly overwrite: boolean
}

/** Writes a generated text, to a file in a directory that is made if need be, or to standard output. */
export async function writeGenerated(
  text: string,
  { output: path, overwrite = false }: WriteOptions,
  mode: number,
  output: Output,
): Promise<ExitCode> {
  if (path === undefined) {
    outText(output, text.trimEnd())
    return 0
  }
  try {
    await makeDirectory(dirname(path))
  } catch (error) {
    output.err(`${path} cannot be written: ${(error as Error).message}`)
    return 1
  }
  return writeNewFile({ path, chunks: [text], mode, overwrite }, output)
}

/**
 * Writes a file, whole or not at all. What is there stays as it is until all is written, and only with `overwrite` is it
 * replaced: by a new file with the permissions of a new one. Links are not followed, and nothing but files replaced.
 * @returns 0, or 1 with the reason told
 */
export async function writeNewFile(file: NewFile, output: Output): Promise<ExitCode> {
  const { path, overwrite } = file
  try {
    const obstacle = obstacleIn(await lstat(path).catch(absent), overwrite)
    if (obstacle !== undefined) {
      output.err(`${path} ${obstacle}`)
      return 1
    }
    if (overwrite) await replaceFile(file)
    else await createFile(path, file)
    return 0
  } catch (error) {
    const { message } = error as Error
    output.err(`${path} cannot be written: ${message}`)
    return 1
  }
}

/** Why nothing is written over what is there. */
function obstacleIn(found: Stats | undefined, overwrite: boolean): string | undefined {
  if (found === undefined) return undefined
  if (found.isSymbolicLink())
    return 'is a symbolic link, which is not followed; nothing was written. Give the path of a file.'
  if (!found.isFile()) return `is ${kindOf(found)} and no file; nothing was written. Give the path of a file.`
  return overwrite ? undefined : 'exists already; nothing was written. Give another path, or --overwrite.'
}

function kindOf(found: Stats): string {
  if (found.isDirectory()) return 'a directory'
  if (found.isFIFO()) return 'a pipe'
  return found.isSocket() ? 'a socket' : 'a device'
}

/** Half a file is none. */
async function createFile(path: string, { chunks, mode }: NewFile): Promise<void> {
  const handle = await open(path, 'wx', mode)
  try {
    await writeAll(handle, chunks)
  } catch (error) {
    await rm(path, { force: true })
    throw error
  }
}

/** A name of its own in the same directory, so that a rename puts the whole in the place of the former whole. */
async function replaceFile(file: NewFile): Promise<void> {
  const beside = join(dirname(file.path), `.matrix-knock-${randomUUID()}`)
  await createFile(beside, file)
  try {
    await rename(beside, file.path)
  } catch (error) {
    await rm(beside, { force: true })
    throw error
  }
}

async function writeAll(handle: FileHandle, chunks: NewFile['chunks']): Promise<void> {
  try {
    for await (const chunk of chunks) await handle.appendFile(chunk)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes a directory and those above it. Node's own way of doing so never ends where the system has none to make. */
async function makeDirectory(path: string): Promise<void> {
  const missing: string[] = []
  let above = resolve(path)
  while ((await stat(above).catch(absent)) === undefined) {
    missing.unshift(above)
    above = dirname(above)
  }
  for (const directory of missing) {
    await mkdir(directory).catch((error: NodeJS.ErrnoException) => {
      // Somebody else was faster, or it is something else: then the next step says so.
      if (error.code !== 'EEXIST') throw error
    })
  }
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
  return undefined
}
