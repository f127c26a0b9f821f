/** How tests of stores look into the outbox: by taking claims, and giving them back. */
import type { DeliveryQueue, OutgoingTransaction } from '../../src/knock/ports/deliveries.ts'
import type { ServerName } from '../../src/matrix/identifiers.ts'
import { nameOf } from './sample-room.ts'

export async function expandAll(queue: DeliveryQueue): Promise<number> {
  let calls = 1
  while (await queue.expand()) calls++
  return calls
}

/** Everything that is due and that nobody holds, without holding it afterwards. */
export async function dueAt(queue: DeliveryQueue, now: number): Promise<readonly OutgoingTransaction[]> {
  const claimed = await queue.claim(now, 10_000)
  for (const { destination, txnId } of claimed) await queue.release(destination, txnId)
  return claimed
}

/** Claims what is due and keeps the claim on one destination alone. */
export async function claimFor(
  queue: DeliveryQueue,
  now: number,
  server: ServerName,
): Promise<OutgoingTransaction | undefined> {
  const claimed = await queue.claim(now, 10_000)
  for (const { destination, txnId } of claimed) if (destination !== server) await queue.release(destination, txnId)
  return claimed.find(({ destination }) => destination === server)
}

export function serversOf(transactions: readonly OutgoingTransaction[]): readonly ServerName[] {
  return transactions.map(({ destination }) => destination)
}

export function namesIn(transaction: OutgoingTransaction | undefined): readonly string[] | undefined {
  return transaction?.events.map(({ eventId }) => nameOf(eventId))
}
