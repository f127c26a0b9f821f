/**
 * What holds for transactions of the outbox, whatever keeps them.
 * https://spec.matrix.org/latest/server-server-api/#put_matrixfederationv1sendtxnid
 */
import { randomUUID } from 'node:crypto'

/** PDUs of one transaction. */
export const MAX_PDUS = 50
/** What is around the PDUs of a transaction: names, numbers and brackets. */
const AROUND_BYTES = 1_024
/** The PDUs of one transaction, a comma for each: with what is around them 512 KiB at most. */
export const MAX_PDUS_BYTES = 512 * 1024 - AROUND_BYTES
/** Servers that one call of `expand` turns into rows. */
export const EXPANDED_SERVERS = 500
/** How long it is remembered that a server answers slowly, in milliseconds. */
export const SLOW_MS = 7 * 24 * 60 * 60 * 1000

/** Homeservers count milliseconds or small numbers; the prefix keeps ours apart from those of the one next door. */
export function newTransactionId(): string {
  return `mk${randomUUID().replaceAll('-', '')}`
}

/**
 * How many events the next transaction may hold.
 * @param suspects so many events at the head of the line were refused together; null where none were
 */
export function mostPdus(suspects: number | null): number {
  return suspects === null ? MAX_PDUS : Math.max(1, Math.floor(suspects / 2))
}

/** What is left of `suspects` after so many of them arrived or were refused alone. */
export function suspectsAfter(suspects: number | null, events: number): number | null {
  return suspects === null || suspects <= events ? null : suspects - events
}

/** How many events at the head of a line make up the next transaction: at least one. @param sizes in bytes */
export function transactionLength(sizes: readonly number[], most: number): number {
  let total = 0
  for (const [at, size] of sizes.entries()) {
    total += size + 1
    if (at > 0 && (at >= most || total > MAX_PDUS_BYTES)) return at
  }
  return sizes.length
}
