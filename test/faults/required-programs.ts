/** What the fault tests need beside Node. Without one of these there is nothing to say, so that is a failure. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { requireNginx, requirePromtool } from '../interop/support/install.ts'
import { findPostgres } from '../support/postgres-binaries.ts'

const PACKAGES = { prlimit: 'util-linux', setpriv: 'util-linux', 'systemd-analyze': 'systemd' }

export async function setup(): Promise<void> {
  await requireNginx()
  await requirePromtool()
  await (await findPostgres()).discard()
  for (const [program, debianPackage] of Object.entries(PACKAGES)) {
    await promisify(execFile)(program, ['--version']).catch(() => {
      throw new Error(
        `not installed: ${program}. On Debian: apt-get install -y --no-install-recommends ${debianPackage}`,
      )
    })
  }
}
