/** Connections by target: kept for the next request to it, and bounded in number, idle ones included. */
import type tls from 'node:tls'
import { buildConnector, Pool } from 'undici'
import type { Target } from '../discovery/targets.ts'
import { type Allowance, createAllowance } from './allowance.ts'

export interface ConnectionPoolsOptions {
  readonly secureContext: tls.SecureContext
  /** Longest time to connect and shake hands, in milliseconds. */
  readonly connectTimeoutMs: number
  /** Targets with connections. Beyond it those go that are not in use, the ones used longest ago first. */
  readonly maxTargets: number
  /** Connections to one target. */
  readonly perTarget: number
}

export interface ConnectionPools {
  /** Uses the connections to a target. What has to go for them is closed before. */
  use<T>(target: Target, exchange: (connections: Connections) => Promise<T>): Promise<T>
  /** Ends all connections, those in use too. */
  destroy(): Promise<void>
}

/** To one address under one certificate name. */
export interface Connections {
  readonly pool: Pool
  /** How many bytes they may bring. */
  readonly allowance: Allowance
}

interface Kept extends Connections {
  uses: number
}

const MAX_HEADER_BYTES = 16 * 1024
const KEEP_ALIVE_MS = 4_000

export function createConnectionPools(options: ConnectionPoolsOptions): ConnectionPools {
  const { maxTargets } = options
  /** In the order of their last use. */
  const pools = new Map<string, Kept>()

  function take(target: Target): Kept {
    const key = `${target.address} ${target.port} ${target.certificateName}`
    const kept = pools.get(key) ?? { ...createConnections(target, options), uses: 0 }
    pools.delete(key)
    pools.set(key, kept)
    kept.uses++
    return kept
  }

  async function makeRoom(): Promise<void> {
    if (pools.size <= maxTargets) return
    const idle = [...pools].filter(([, { uses }]) => uses === 0).slice(0, pools.size - maxTargets)
    for (const [key] of idle) pools.delete(key)
    await Promise.all(idle.map(([, { pool }]) => pool.close().catch(() => {})))
  }

  return {
    async use(target, exchange) {
      const kept = take(target)
      try {
        await makeRoom()
        return await exchange(kept)
      } finally {
        kept.uses--
      }
    },
    async destroy() {
      const open = [...pools.values()]
      pools.clear()
      await Promise.all(open.map(({ pool }) => pool.destroy()))
    },
  }
}

function createConnections(
  target: Target,
  { secureContext, connectTimeoutMs, perTarget }: ConnectionPoolsOptions,
): Connections {
  const allowance = createAllowance()
  const connect = buildConnector({ secureContext, timeout: connectTimeoutMs })
  const literal = target.address.includes(':') ? `[${target.address}]` : target.address
  const pool = new Pool(`https://${literal}:${target.port}`, {
    connections: perTarget,
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
    // The deadline of each request bounds both.
    headersTimeout: 0,
    bodyTimeout: 0,
    // undici would take the SNI from the Host header. Without one, Node holds the certificate against the address.
    connect: ({ servername: _fromHostHeader, ...to }, callback) =>
      connect(target.servername === undefined ? to : { ...to, servername: target.servername }, (...connected) => {
        const [, socket] = connected
        if (socket) allowance.guard(socket)
        callback(...connected)
      }),
  })
  return { pool, allowance }
}
