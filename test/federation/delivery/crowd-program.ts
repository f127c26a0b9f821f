/**
 * Thousands of servers as one process: they share an address, a certificate and a DNS. Started with an IPC channel; takes
 * `{ certificate, names }`, says `{ port, dns }`, and answers `report` with what came in.
 */
import { once } from 'node:events'
import { createServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Certificate } from '../../support/certificates.ts'
import { startFakeDns } from '../../support/fake-dns.ts'

export interface CrowdSetUp {
  readonly certificate: Certificate
  readonly names: readonly string[]
}

export interface CrowdPlace {
  readonly port: number
  /** `127.0.0.1:PORT`. */
  readonly dns: string
}

export interface CrowdReport {
  /** Names that a transaction came for, each as often as one came. */
  readonly hosts: readonly string[]
  readonly connections: number
  /** Most connections that were open at a time. */
  readonly mostOpen: number
}

async function serve({ certificate, names }: CrowdSetUp): Promise<void> {
  const dns = await startFakeDns(Object.fromEntries(names.map((name) => [name, { addresses: ['127.0.0.1'] }])))
  const hosts: string[] = []
  let connections = 0
  let open = 0
  let mostOpen = 0
  const server = createServer(certificate, (request, response) => {
    hosts.push((request.headers.host ?? '').replace(/:\d+$/, ''))
    request.resume().on('end', () => response.end('{"pdus":{}}'))
  })
  server.on('connection', (socket: Socket) => {
    connections++
    mostOpen = Math.max(mostOpen, ++open)
    socket.once('close', () => open--)
  })
  await once(server.listen(0, '127.0.0.1', 1_024), 'listening')
  process.on('message', (message) => {
    if (message === 'report') process.send?.({ hosts, connections, mostOpen } satisfies CrowdReport)
  })
  process.send?.({ port: (server.address() as AddressInfo).port, dns: dns.server } satisfies CrowdPlace)
}

process.once('message', (setUp: CrowdSetUp) => void serve(setUp))
process.once('disconnect', () => process.exit(0))
