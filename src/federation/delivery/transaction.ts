/**
 * Transactions: how accepted knocks reach the other servers of their rooms.
 * https://spec.matrix.org/latest/server-server-api/#transactions
 */

import type { OutgoingTransaction } from '../../knock/ports/deliveries.ts'
import type { Clock } from '../../knock/ports/rooms.ts'
import type { ServerName } from '../../matrix/identifiers.ts'
import { parseJson } from '../../matrix/json.ts'
import { retryAfterMs } from '../../matrix/retry-after.ts'
import type { FederationClient, FederationResponse } from '../http/signed-client.ts'
import { transactionContent } from './transaction-body.ts'

export type DeliveryResult =
  | { readonly kind: 'delivered' }
  /** `retryAfterMs` is what the destination asked us to wait. */
  | { readonly kind: 'failed'; readonly reason: string; readonly retryAfterMs?: number }
  /** The destination will never take the transaction as it is. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** It was not sent: no address of the destination could be entered. */
  | { readonly kind: 'busy' }

export interface TransactionSender {
  /**
   * Sends a transaction once.
   * @param deadline absolute time in milliseconds
   * @param enter asked before an address is connected to: false leaves it out; every one is let in where left out
   */
  send(
    transaction: OutgoingTransaction,
    deadline: number,
    signal: AbortSignal,
    enter?: (address: string) => boolean,
  ): Promise<DeliveryResult>
}

export interface TransactionSenderOptions {
  readonly serverName: ServerName
  readonly client: FederationClient
  readonly clock: Clock
}

export function createTransactionSender({ serverName, client, clock }: TransactionSenderOptions): TransactionSender {
  return {
    async send({ destination, txnId, startedAt, events }, deadline, signal, enter) {
      const content = transactionContent(serverName, startedAt, events)
      const uri = `/_matrix/federation/v1/send/${encodeURIComponent(txnId)}`
      const request = { method: 'PUT', destination, uri, content, deadline, signal, ...(enter && { enter }) } as const
      return resultOf(await client.request(request), clock())
    },
  }
}

/** A 200 is a receipt whatever its body says: what becomes of each PDU is the destination's business. */
function resultOf(response: FederationResponse, now: number): DeliveryResult {
  if (response.kind === 'busy') return response
  if (response.status === 200) return { kind: 'delivered' }
  // What refuses a large transaction need not read it to its end: the status is what counts.
  const reason = `the server answers ${response.status}`
  if (response.status !== undefined && isRefusal(response.status)) return { kind: 'refused', reason }
  if (response.kind === 'failed') return { kind: 'failed', reason: response.reason }
  if (response.status !== 429 && response.status !== 503) return { kind: 'failed', reason }
  const json = parseJson(response.body)
  const wait = retryAfterMs(response.headers['retry-after'], json.ok ? json.value : undefined, now)
  return wait === undefined ? { kind: 'failed', reason } : { kind: 'failed', reason, retryAfterMs: wait }
}

/** About us, about the moment or about a path that is not there now: no event is to blame for these. */
const NOT_OF_EVENTS = [401, 403, 404, 408, 429]

function isRefusal(status: number): boolean {
  return status >= 400 && status < 500 && !NOT_OF_EVENTS.includes(status)
}
