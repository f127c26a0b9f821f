/** The servers of other people as measurements use them, with what the service has to be told to find and to trust them. */
import { writeFileSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import { join } from 'node:path'
import { createCertificateAuthority } from '../../test/support/certificates.ts'
import type { Identity } from '../../test/support/signing.ts'
import { answerOf, forkTypeScript } from '../forked.ts'
import { createDirectory, removeDirectory } from '../owned.ts'
import type { ServiceSections } from '../service.ts'
import type { WorldMessage, WorldPlace, WorldReport, WorldServer, WorldSetUp } from './world-process.ts'

export interface World {
  readonly place: WorldPlace
  readonly sections: Required<Pick<ServiceSections, 'federation'>>
  publish(identities: readonly Identity[]): Promise<void>
  /** Whether transactions are taken from now on. */
  open(open: boolean): Promise<void>
  report(): Promise<WorldReport>
  close(): void
}

export async function startWorld(set: Partial<Pick<WorldSetUp, 'servers' | 'zones' | 'silent'>>): Promise<World> {
  const directory = createDirectory()
  const authority = createCertificateAuthority()
  const caPath = join(directory, 'ca.pem')
  writeFileSync(caPath, authority.cert)
  const child = forkTypeScript('./hostile/world-process.ts')
  // They stand for other machines: where there are too few processors, the service goes first.
  if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW)
  const ask = <Answer>(message: WorldMessage): Promise<Answer> => {
    child.send(message)
    return answerOf<Answer>(child)
  }
  const certificate = authority.issue(['*.example.test'])
  const empty = { servers: [], zones: {}, silent: [] }
  const place = await ask<WorldPlace>({ kind: 'set up', certificate, ...empty, ...set })
  return {
    place,
    sections: {
      federation: { ca_path: [caPath], ip_range_allowlist: ['127.0.0.0/8'], dns_servers: [place.dns] },
    },
    publish: (identities) => ask({ kind: 'publish', identities }),
    open: (open) => ask({ kind: 'open', open }),
    report: () => ask({ kind: 'report' }),
    close() {
      child.disconnect()
      removeDirectory(directory)
    },
  }
}

/** Servers with names and addresses of their own. @param group the third number of their addresses, from 1 */
export function serversNamed(name: string, group: number, count: number, answerMs = 0): readonly WorldServer[] {
  return Array.from({ length: count }, (_, index) => ({
    host: `${name}${index}.example.test`,
    address: `127.${group}.${Math.floor(index / 250)}.${(index % 250) + 1}`,
    answerMs,
  }))
}
