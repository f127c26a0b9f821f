/**
 * What holds for transactions of the outbox, whatever keeps them.
 * https://spec.matrix.org/latest/server-server-api/#put_matrixfederationv1sendtxnid
 */
import { randomUUID } from 'node:crypto'

/** PDUs of one transaction. */
export const MAX_PDUS = 50
/** Servers that one call of `expand` turns into rows. */
export const EXPANDED_SERVERS = 500

/** Homeservers count milliseconds or small numbers; the prefix keeps ours apart from those of the one next door. */
export function newTransactionId(): string {
  return `mk${randomUUID().replaceAll('-', '')}`
}
