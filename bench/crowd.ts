/** Thousands of other servers, which take transactions: one process, so that its work is not counted as the service's. */
import { writeFileSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import { join } from 'node:path'
import type { CrowdPlace, CrowdReport, CrowdSetUp } from '../test/federation/delivery/crowd-program.ts'
import { createCertificateAuthority } from '../test/support/certificates.ts'
import { answerOf, forkTypeScript } from './forked.ts'
import { createDirectory, removeDirectory } from './owned.ts'
import type { ServiceSections } from './service.ts'

export interface Crowd {
  /** Their names, with the port that all of them listen on. */
  readonly names: readonly string[]
  /** What the service has to be told to find and to trust them. */
  readonly sections: Pick<ServiceSections, 'federation'>
  /** What came in so far. */
  report(): Promise<CrowdReport>
  close(): void
}

export async function startCrowd(servers: number): Promise<Crowd> {
  const directory = createDirectory()
  const authority = createCertificateAuthority()
  const caPath = join(directory, 'ca.pem')
  writeFileSync(caPath, authority.cert)
  const hosts = Array.from({ length: servers }, (_, index) => `s${index}.example.test`)
  const child = forkTypeScript('../test/federation/delivery/crowd-program.ts')
  // They stand for other machines: where there are too few processors, the service goes first.
  if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW)
  child.send({ certificate: authority.issue(['*.example.test']), names: hosts } satisfies CrowdSetUp)
  const { port, dns } = await answerOf<CrowdPlace>(child)
  return {
    names: hosts.map((host) => `${host}:${port}`),
    sections: { federation: { ca_path: [caPath], ip_range_allowlist: ['127.0.0.0/8'], dns_servers: [dns] } },
    report() {
      child.send('report')
      return answerOf<CrowdReport>(child)
    },
    close() {
      child.disconnect()
      removeDirectory(directory)
    },
  }
}
