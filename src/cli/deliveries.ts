/** `deliveries list`, `show`, `retry` and `drop`: what other servers have not received yet. docs/delivery.md */
import type { DeliveryAdministration, WaitingDestination, WaitingEvent } from '../knock/ports/deliveries.ts'
import { parseEventId, parseServerName, type ServerName } from '../matrix/identifiers.ts'
import { printable } from '../observability/visible.ts'
import { type ExitCode, type Output, outJson } from './outcome.ts'
import { table } from './table.ts'

export interface DeliveryListOptions {
  readonly json?: boolean
}

export interface RetryOptions {
  readonly all?: boolean
}

export interface DropOptions {
  /** One event alone. */
  readonly event?: string
}

const PAGE = 500

export async function listDeliveries(
  store: DeliveryAdministration,
  { json }: DeliveryListOptions,
  output: Output,
): Promise<ExitCode> {
  const waiting = await waitingDestinations(store)
  if (json === true) outJson(output, waiting.map(destinationObject))
  else if (waiting.length === 0) output.out('Nothing waits for delivery.')
  else for (const line of table(HEAD, waiting.map(destinationRow))) output.out(line)
  return 0
}

export async function showDeliveries(
  store: DeliveryAdministration,
  destination: string,
  { json }: DeliveryListOptions,
  output: Output,
): Promise<ExitCode> {
  const found = await find(store, destination, output)
  if (typeof found === 'number') return found
  const events = await waitingEvents(store, found.destination)
  if (json === true) {
    outJson(output, { ...destinationObject(found), events: events.map(eventObject) })
    return 0
  }
  for (const line of table(HEAD, [destinationRow(found)])) output.out(line)
  output.out('')
  for (const line of table(EVENTS_HEAD, events.map(eventRow))) output.out(line)
  return 0
}

export async function retryDeliveries(
  store: DeliveryAdministration,
  destination: string | undefined,
  { all = false }: RetryOptions,
  output: Output,
): Promise<ExitCode> {
  if (all === (destination !== undefined)) {
    output.err('expected either a destination or --all')
    return 2
  }
  if (destination === undefined) {
    const count = await store.retry()
    output.out(count === 0 ? 'No server waits after a failure.' : `Servers that are tried again now: ${count}.`)
    return 0
  }
  const found = await find(store, destination, output)
  if (typeof found === 'number') return found
  await store.retry(found.destination)
  output.out(`${found.destination} is tried again now, with ${knocks(found.waiting)} ${history(found)}.`)
  return 0
}

export async function dropDeliveries(
  store: DeliveryAdministration,
  destination: string,
  { event }: DropOptions,
  output: Output,
): Promise<ExitCode> {
  const eventId = event === undefined ? undefined : parseEventId(event)
  if (event !== undefined && eventId === undefined) {
    output.err(`${JSON.stringify(event)} is no event id; \`deliveries show SERVER\` lists those that wait`)
    return 2
  }
  const found = await find(store, destination, output)
  if (typeof found === 'number') return found
  if (eventId !== undefined) {
    const dropped = await store.dropEvent(found.destination, eventId)
    if (dropped) output.out(`Dropped ${eventId} for ${found.destination}.`)
    else output.err(`${eventId} does not wait for ${found.destination}; \`deliveries show\` lists what does.`)
    return dropped ? 0 : 1
  }
  const events = await store.drop(found.destination)
  output.out(`Dropped ${knocks(events)} for ${found.destination} ${history(found)}.`)
  return 0
}

/** Knocks that no service has spread over their servers yet are spread first, so that none is overlooked. */
async function waitingDestinations(store: DeliveryAdministration): Promise<readonly WaitingDestination[]> {
  while (await store.expand());
  const waiting: WaitingDestination[] = []
  let page: readonly WaitingDestination[]
  do {
    page = await store.listDeliveries(waiting.at(-1)?.destination, PAGE)
    waiting.push(...page)
  } while (page.length === PAGE)
  return waiting
}

async function waitingEvents(store: DeliveryAdministration, name: ServerName): Promise<readonly WaitingEvent[]> {
  const events: WaitingEvent[] = []
  let page: readonly WaitingEvent[]
  do {
    page = await store.listWaiting(name, events.at(-1)?.place ?? 0, PAGE)
    events.push(...page)
  } while (page.length === PAGE)
  return events
}

async function find(
  store: DeliveryAdministration,
  text: string,
  output: Output,
): Promise<WaitingDestination | ExitCode> {
  const name: ServerName | undefined = parseServerName(text)
  if (name === undefined) {
    output.err(`${JSON.stringify(text)} is no server name; expected host[:port]`)
    return 2
  }
  const found = (await waitingDestinations(store)).find(({ destination }) => destination === name)
  if (found !== undefined) return found
  output.err(`Nothing waits for ${name}; \`deliveries list\` names the servers for which something does.`)
  return 1
}

const HEAD = ['SERVER', 'WAITING', 'FAILURES', 'NEXT', 'OLDEST', 'LAST FAILURE']

function destinationRow(waiting: WaitingDestination): readonly string[] {
  const { destination, attempts, dueAt, oldestAt, reason } = waiting
  return [destination, String(waiting.waiting), String(attempts), instant(dueAt), instant(oldestAt), reason ?? '-']
}

function destinationObject({ destination, waiting, attempts, dueAt, oldestAt, reason }: WaitingDestination) {
  const times = { next_attempt: instant(dueAt), oldest: instant(oldestAt) }
  return { destination, waiting, failures: attempts, ...times, last_failure: reason ?? null }
}

const EVENTS_HEAD = ['EVENT', 'ROOM', 'BYTES', 'SINCE', 'TRANSACTION']

function eventRow({ eventId, roomId, bytes, queuedAt, txnId }: WaitingEvent): readonly string[] {
  return [eventId, roomId, String(bytes), instant(queuedAt), txnId ?? '-']
}

function eventObject({ eventId, roomId, bytes, queuedAt, txnId }: WaitingEvent) {
  return { event_id: eventId, room_id: roomId, bytes, since: instant(queuedAt), transaction: txnId ?? null }
}

function history({ oldestAt, attempts, reason }: WaitingDestination): string {
  const last = reason === undefined ? '' : `, the last: ${printable(reason)}`
  return `(oldest of ${instant(oldestAt)}, failures: ${attempts}${last})`
}

function knocks(count: number): string {
  return count === 1 ? '1 knock' : `${count} knocks`
}

function instant(time: number): string {
  return new Date(time).toISOString()
}
