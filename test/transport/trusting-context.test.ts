import { fork } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { createCertificateAuthority } from '../support/certificates.ts'
import { startTlsServer } from '../support/tls-server.ts'
import type { TrustingOrder, TrustingReport } from './trusting-program.ts'

const PROGRAM = fileURLToPath(new URL('./trusting-program.ts', import.meta.url))
const TRUSTED = [true, true] as const
const STRANGE = [false, false] as const

describe('our connections', () => {
  const closing: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })

  /** Servers of three authorities: one of ca_path, one that Node is told of in a file, and one that nobody trusts. */
  async function stage() {
    const directory = mkdtempSync(join(tmpdir(), 'matrix-knock-trust-'))
    closing.push(() => rmSync(directory, { recursive: true }))
    const [ours, told, strange] = [1, 2, 3].map(createCertificateAuthority)
    const ports: number[] = []
    for (const authority of [ours, told, strange]) {
      const server = await startTlsServer(authority?.issue(['localhost']) ?? { cert: '', key: '' })
      closing.push(() => server.close())
      ports.push(server.port)
    }
    const file = join(directory, 'told.pem')
    writeFileSync(file, told?.cert ?? '')
    return { ports, ours: ours?.cert ?? '', file }
  }

  async function asked(
    order: TrustingOrder,
    flags: readonly string[],
    env: NodeJS.ProcessEnv,
  ): Promise<TrustingReport> {
    const execArgv = ['--import', 'tsx', ...flags]
    const child = fork(PROGRAM, { execArgv, env: { PATH: process.env.PATH, ...env } })
    closing.push(() => child.kill())
    child.send(order)
    const [report] = (await once(child, 'message')) as [TrustingReport]
    return report
  }

  it('trust those of ca_path beside those of NODE_EXTRA_CA_CERTS, to other servers and to the homeserver', async () => {
    const { ports, ours, file } = await stage()
    const env = { NODE_EXTRA_CA_CERTS: file }
    expect(await asked({ caCertificates: [ours], ports }, [], env)).toEqual([TRUSTED, TRUSTED, STRANGE])
    expect(await asked({ caCertificates: [], ports }, [], env)).toEqual([STRANGE, TRUSTED, STRANGE])
    expect(await asked({ caCertificates: [ours], ports }, [], {})).toEqual([TRUSTED, STRANGE, STRANGE])
  })

  it('trust what Node could read of a file of which it could not read all', async () => {
    const { ports, ours, file } = await stage()
    appendFileSync(file, '\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n')
    const env = { NODE_EXTRA_CA_CERTS: file }
    expect(await asked({ caCertificates: [ours], ports }, [], env)).toEqual([TRUSTED, TRUSTED, STRANGE])
  })

  it('trust those of ca_path beside those of OpenSSL, where Node is told to take these', async () => {
    const { ports, ours, file } = await stage()
    const told = { SSL_CERT_FILE: file }
    expect(await asked({ caCertificates: [ours], ports }, ['--use-openssl-ca'], told)).toEqual([
      TRUSTED,
      TRUSTED,
      STRANGE,
    ])
    expect(await asked({ caCertificates: [ours], ports }, [], told)).toEqual([TRUSTED, STRANGE, STRANGE])
  })
})
