/**
 * What every server that answers these calls has to do at least, on bare Fastify: the physical limit that the service is
 * measured against. The floors share no code with the service.
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'

/** What a floor is told at its start. */
export interface FloorStart {
  /** Server names and their public keys, SPKI in DER. */
  readonly keys: readonly (readonly [server: string, der: Uint8Array])[]
  /** For what it stores. */
  readonly directory: string
}

export interface Claim {
  readonly origin: string
  readonly destination: string
  readonly signature: Buffer
  readonly key: KeyObject
}

const X_MATRIX = /^X-Matrix origin="([^"]+)",destination="([^"]+)",key="([^"]+)",sig="([^"]+)"$/

export function createFloorApp(): FastifyInstance {
  return Fastify({ logger: false, routerOptions: { maxParamLength: 1024 } })
}

export function keyTable({ keys }: FloorStart): ReadonlyMap<string, KeyObject> {
  return new Map(
    keys.map(([server, der]) => [server, createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' })]),
  )
}

export function readClaim(header: string | undefined, keys: ReadonlyMap<string, KeyObject>): Claim | undefined {
  const match = X_MATRIX.exec(header ?? '')
  if (match === null) return undefined
  const [, origin = '', destination = '', , signature = ''] = match
  const key = keys.get(origin)
  return key && { origin, destination, signature: Buffer.from(signature, 'base64'), key }
}

/** Canonical JSON of values whose keys are ASCII. */
export function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  const object = value as Readonly<Record<string, unknown>>
  let text = ''
  for (const key of Object.keys(object).sort()) {
    text += `${text === '' ? '{' : ','}${JSON.stringify(key)}:${canonical(object[key])}`
  }
  return text === '' ? '{}' : `${text}}`
}

/** One verification on the thread pool. */
export function verifies(key: KeyObject, text: string, signature: Uint8Array): Promise<boolean> {
  return new Promise((resolve) => {
    verify(null, Buffer.from(text), key, signature, (error, good) => resolve(error === null && good))
  })
}

/** What a floor is sent: once with what to start, then questions for the processor time that it has taken. */
export type FloorMessage = FloorStart | 'cpu seconds'

/** Starts a floor when its parent says with what, and tells the port. It ends with its parent. */
export function serveFloor(create: (start: FloorStart) => FastifyInstance): void {
  process.once('disconnect', () => process.exit())
  process.on('message', async (message: FloorMessage) => {
    if (message === 'cpu seconds') {
      const { user, system } = process.cpuUsage()
      process.send?.((user + system) / 1e6)
      return
    }
    const app = create(message)
    await app.listen({ host: '127.0.0.1', port: 0 })
    process.send?.((app.server.address() as AddressInfo).port)
  })
}
