/** The package as its users get it: built, packed by npm, and unpacked into an empty project of theirs. */
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = fileURLToPath(new URL('../..', import.meta.url))
const exec = promisify(execFile)

export interface Finished {
  readonly code: number
  readonly output: string
}

export interface InstalledPackage {
  /** Bytes of the tarball. */
  readonly packedSize: number
  /** Paths in the package, sorted. */
  readonly files: readonly string[]
  read(file: string): Promise<string>
  /** Writes files into the project, runs a program there with Node, and tells how it ended. */
  run(files: Readonly<Record<string, string>>, ...args: readonly string[]): Promise<Finished>
  remove(): Promise<void>
}

/**
 * Builds, packs and installs.
 * @param dependencies names of the packages that are there beside it; what it does not find, it cannot load
 */
export async function installPackage(dependencies: readonly string[]): Promise<InstalledPackage> {
  const directory = await mkdtemp(join(tmpdir(), 'matrix-knock-package-'))
  const project = join(directory, 'project')
  const installed = join(project, 'node_modules/matrix-knock')
  await mkdir(installed, { recursive: true })
  const packedSize = await packInto(installed, join(directory, 'source'))
  for (const name of dependencies) {
    const link = join(project, 'node_modules', name)
    await mkdir(dirname(link), { recursive: true })
    await symlink(join(root, 'node_modules', name), link)
  }
  await writeFile(join(project, 'package.json'), JSON.stringify({ type: 'module' }))
  return {
    packedSize,
    files: await filesUnder(installed),
    read: (file) => readFile(join(installed, file), 'utf8'),
    async run(files, ...args) {
      for (const [name, text] of Object.entries(files)) await writeFile(join(project, name), text)
      return finish(exec(process.execPath, args, { cwd: project }))
    },
    remove: () => rm(directory, { recursive: true, force: true }),
  }
}

/** A source tree with a build of its own: what an earlier build left behind in `dist` is not packed. */
async function packInto(installed: string, source: string): Promise<number> {
  await mkdir(source)
  const { files } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { files: readonly string[] }
  const present = await readdir(root)
  for (const name of ['package.json', ...files]) {
    if (name !== 'dist' && present.includes(name)) await cp(join(root, name), join(source, name), { recursive: true })
  }
  await exec(process.execPath, ['scripts/build.mjs', '--out', join(source, 'dist')], { cwd: root })
  const packed = await exec('npm', ['pack', '--json', '--ignore-scripts', '--offline'], { cwd: source })
  const [tarball] = JSON.parse(packed.stdout) as readonly { filename: string; size: number }[]
  if (tarball === undefined) throw new Error(`npm pack told of no tarball: ${packed.stdout}`)
  await exec('tar', ['-xzf', join(source, tarball.filename), '--strip-components=1', '-C', installed])
  return tarball.size
}

async function filesUnder(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort()
}

async function finish(running: Promise<{ stdout: string; stderr: string }>): Promise<Finished> {
  try {
    const { stdout, stderr } = await running
    return { code: 0, output: stdout + stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, output: stdout + stderr }
  }
}
