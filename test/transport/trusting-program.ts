/** A process of its own, since Node reads whom it trusts when it starts: it asks servers by both clients, and tells. */
import { createHttpAgent } from '../../src/federation/http/agent.ts'
import { createHomeserverClient } from '../../src/homeserver/homeserver-client.ts'
import { nativeEd25519 } from '../../src/matrix/ed25519.ts'
import type { ServerName } from '../../src/matrix/identifiers.ts'

export interface TrustingOrder {
  readonly caCertificates: readonly string[]
  readonly ports: readonly number[]
}

/** Of each port: whether the agent for other servers, and the client of the homeserver, had an answer. */
export type TrustingReport = readonly (readonly [boolean, boolean])[]

const WITHIN_MS = 10_000

async function ask(port: number, caCertificates: readonly string[]): Promise<readonly [boolean, boolean]> {
  const filter = { permits: () => true }
  const agent = createHttpAgent({ filter, clock: Date.now, caCertificates })
  const place = { address: '127.0.0.1', port, host: 'localhost', servername: 'localhost', certificateName: 'localhost' }
  const deadline = Date.now() + WITHIN_MS
  const answer = await agent.request(place, { method: 'GET', path: '/', maxBytes: 1024, deadline })
  const client = createHomeserverClient({
    url: `https://localhost:${port}`,
    serverName: 'localhost' as ServerName,
    signingKey: undefined,
    ed25519: nativeEd25519,
    clock: Date.now,
    marker: 'marker',
    caCertificates,
  })
  const told = await client.getUnsigned('/', deadline)
  await Promise.all([agent.close(), client.close()])
  return [answer.kind === 'response', told.kind !== 'failed']
}

process.once('message', async ({ caCertificates, ports }: TrustingOrder) => {
  const report = await Promise.all(ports.map((port) => ask(port, caCertificates)))
  process.send?.(report satisfies TrustingReport)
  process.disconnect()
})
