/** Servers that sent us a request: what waits for them can be tried again. Noting one costs next to nothing. */
import { LRUCache } from 'lru-cache'
import type { ServerName } from '../../matrix/identifiers.ts'

/** One that keeps sending but cannot be reached is not tried more often than this. */
const RESPITE_MS = 30_000
/** Servers that are remembered for that long. */
const MAX_REMEMBERED = 10_000
/** Servers between two calls of `take`; the others send again. */
const MAX_NOTED = 500

export interface SignsOfLife {
  /** True for the first since `take`. */
  note(server: ServerName): boolean
  /** Those that were noted since the last call. */
  take(): readonly ServerName[]
}

export function createSignsOfLife(): SignsOfLife {
  const remembered = new LRUCache<ServerName, true>({ max: MAX_REMEMBERED, ttl: RESPITE_MS })
  let noted: ServerName[] = []
  return {
    note(server) {
      if (noted.length >= MAX_NOTED || remembered.has(server)) return false
      remembered.set(server, true)
      return noted.push(server) === 1
    },
    take() {
      const taken = noted
      noted = []
      return taken
    },
  }
}
