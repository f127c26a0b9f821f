/**
 * Transactions: how accepted knocks reach the other servers of their rooms.
 * https://spec.matrix.org/latest/server-server-api/#transactions
 */

import type { OutgoingTransaction } from '../knock/delivery-ports.ts'
import type { Clock } from '../knock/ports.ts'
import type { ServerName } from '../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, parseJson } from '../matrix/json.ts'
import { without } from '../matrix/signed-json.ts'
import type { OutboundResponse } from './http-agent.ts'
import type { FederationClient } from './signed-client.ts'

export type DeliveryResult =
  | { readonly kind: 'delivered' }
  /** `retryAfterMs` is what the destination asked us to wait. */
  | { readonly kind: 'failed'; readonly reason: string; readonly retryAfterMs?: number }

export interface TransactionSender {
  /**
   * Sends a transaction once.
   * @param deadline absolute time in milliseconds
   */
  send(transaction: OutgoingTransaction, deadline: number, signal: AbortSignal): Promise<DeliveryResult>
}

export interface TransactionSenderOptions {
  readonly serverName: ServerName
  readonly client: FederationClient
  readonly clock: Clock
}

export function createTransactionSender({ serverName, client, clock }: TransactionSenderOptions): TransactionSender {
  return {
    async send({ destination, txnId, startedAt, events }, deadline, signal) {
      const content: JsonObject = {
        origin: serverName,
        origin_server_ts: startedAt,
        pdus: events.map(({ pdu }) => without(pdu, ['unsigned'])),
      }
      const uri = `/_matrix/federation/v1/send/${encodeURIComponent(txnId)}`
      return resultOf(await client.request({ method: 'PUT', destination, uri, content, deadline, signal }), clock())
    },
  }
}

/** A 200 is a receipt whatever its body says: what becomes of each PDU is the destination's business. */
function resultOf(response: OutboundResponse, now: number): DeliveryResult {
  if (response.status === 200) return { kind: 'delivered' }
  if (response.kind === 'failed') return { kind: 'failed', reason: response.reason }
  const reason = `the server answers ${response.status}`
  const limited = response.status === 429 || response.status === 503
  const wait = limited ? retryAfter(response, now) : undefined
  return wait === undefined ? { kind: 'failed', reason } : { kind: 'failed', reason, retryAfterMs: wait }
}

/** `Retry-After` in seconds or as a date, else `retry_after_ms` of the error body. */
function retryAfter(
  { headers, body }: Extract<OutboundResponse, { kind: 'response' }>,
  now: number,
): number | undefined {
  const header = headers['retry-after']?.trim() ?? ''
  const date = Date.parse(header)
  const wait = /^\d+$/.test(header) ? Number(header) * 1000 : Number.isNaN(date) ? retryAfterMs(body) : date - now
  return wait === undefined || wait < 0 ? undefined : wait
}

function retryAfterMs(body: Uint8Array): number | undefined {
  const json = parseJson(body)
  const wait = json.ok && isJsonObject(json.value) ? json.value.retry_after_ms : undefined
  return typeof wait === 'number' ? wait : undefined
}
