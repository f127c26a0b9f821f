/**
 * Asks the homeserver now and then whether it reaches us as an application service.
 * https://spec.matrix.org/latest/application-service-api/#pinging
 */
import type { Clock } from '../knock/ports/rooms.ts'
import type { HomeserverClient } from './homeserver-client.ts'

export interface AppservicePing {
  start(): void
  stop(): void
}

export interface AppservicePingOptions {
  readonly client: HomeserverClient
  /** `id` of the registration. */
  readonly appserviceId: string
  readonly asToken: string
  readonly clock: Clock
  /** The homeserver reaches us. */
  readonly onSuccess: () => void
  /** The homeserver does not reach us, or does not know us. The reason is for the operator. */
  readonly onFailure: (reason: string) => void
}

const EVERY_MS = 15_000
const WITHIN_MS = 10_000

export function createAppservicePing(options: AppservicePingOptions): AppservicePing {
  let timer: NodeJS.Timeout | undefined
  const next = async (): Promise<void> => {
    const outcome = await pingOnce(options)
    if (outcome.kind === 'reached') options.onSuccess()
    else if (outcome.kind === 'failed') options.onFailure(outcome.reason)
    if (timer !== undefined) timer = setTimeout(next, EVERY_MS)
  }
  return {
    start() {
      timer = setTimeout(next, 0)
    },
    stop() {
      clearTimeout(timer)
      timer = undefined
    },
  }
}

export type PingOutcome =
  | { readonly kind: 'reached' }
  /** The homeserver has no pings. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'failed'; readonly reason: string }

/** Asks once. */
export async function pingOnce({
  client,
  appserviceId,
  asToken,
  clock,
}: Omit<AppservicePingOptions, 'onSuccess' | 'onFailure'>): Promise<PingOutcome> {
  const uri = `/_matrix/client/v1/appservice/${encodeURIComponent(appserviceId)}/ping`
  const answer = await client.post(uri, {}, asToken, clock() + WITHIN_MS)
  if (answer.kind === 'failed') return { kind: 'failed', reason: answer.reason }
  if (answer.status === 200) return { kind: 'reached' }
  if (answer.status === 404 || answer.status === 405) return { kind: 'unknown' }
  const { errcode, error } = answer.body ?? {}
  const said = [errcode, error].filter((part) => typeof part === 'string')
  return { kind: 'failed', reason: [`ping answers ${answer.status}`, ...said].join(' ') }
}
