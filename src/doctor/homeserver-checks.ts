/** What must hold between the service and the homeserver next door. */
import { pingOnce } from '../homeserver/appservice-ping.ts'
import type { HomeserverAnswer, HomeserverClient } from '../homeserver/homeserver-client.ts'
import { MARKER_HEADER } from '../knock/ports/homeserver.ts'
import type { Clock } from '../knock/ports/rooms.ts'
import { decodeBase64 } from '../matrix/base64.ts'
import type { SigningKey } from '../matrix/ed25519.ts'
import type { ServerName } from '../matrix/identifiers.ts'
import { isJsonObject, type JsonObject } from '../matrix/json.ts'
import { type Check, type Finding, failed, note, ok } from './check.ts'

/** A homeserver that can be asked without a signing key. */
export interface HomeserverInReach {
  readonly client: HomeserverClient
  readonly url: string
  readonly serverName: ServerName
  readonly clock: Clock
  /** Of our own requests. */
  readonly marker: string
}

export interface HomeserverUnderTest extends HomeserverInReach {
  readonly signingKey: SigningKey
  readonly appservice: { readonly id: string; readonly asToken: string } | undefined
}

const WITHIN_MS = 10_000
/** Signatures and key validity tell time in seconds; a homeserver's clock that is further off breaks both. */
const MOST_CLOCK_DIFFERENCE_MS = 10_000
const OPERATING = 'docs/operating.md'

export function homeserverChecks(subject: HomeserverUnderTest): readonly Check[] {
  return [
    ...reachChecks(subject),
    { name: 'signing key', run: () => checkKey(subject) },
    { name: 'reading as the homeserver', run: () => checkOwnRequests(subject) },
    { name: 'application service', run: () => checkAppservice(subject) },
  ]
}

/** Of a homeserver that keeps its key to itself: knocks are sent on to it, so it must have knocking. */
export function keylessChecks(subject: HomeserverInReach): readonly Check[] {
  const withoutKey = note('none: rooms cannot be read, their rules are left to the homeserver')
  return [
    ...reachChecks(subject),
    { name: 'signing key', run: async () => withoutKey },
    { name: 'knocking of the homeserver', run: () => checkKnocking(subject) },
  ]
}

function reachChecks(subject: HomeserverInReach): readonly Check[] {
  return [
    { name: 'homeserver', run: () => checkReachable(subject) },
    { name: 'homeserver.url', run: () => checkNotOurselves(subject) },
    { name: 'clock', run: () => checkClock(subject) },
  ]
}

const VERSION = '/_matrix/federation/v1/version'

async function checkReachable({ client, url, clock }: HomeserverInReach): Promise<Finding> {
  const answer = await client.getUnsigned(VERSION, clock() + WITHIN_MS)
  if (answer.kind === 'failed') {
    return failed(
      `${url} cannot be reached: ${answer.reason}`,
      'homeserver.url: name where the homeserver listens',
      OPERATING,
    )
  }
  const server = isJsonObject(answer.body?.server) ? answer.body.server : undefined
  if (answer.status !== 200 || server === undefined) {
    const remedy = 'homeserver.url: name a listener of the homeserver that serves federation'
    return failed(`${url} answers ${answer.status} to ${VERSION}`, remedy, OPERATING)
  }
  return ok(`${String(server.name)} ${String(server.version)} at ${url}`)
}

/** The running service answers its own requests with its marker: then the URL is that of the public proxy. */
async function checkNotOurselves(subject: HomeserverInReach): Promise<Finding> {
  const { url, marker } = subject
  const answer = await askForKnock(subject)
  if (answer.kind !== 'answered' || answer.header(MARKER_HEADER) !== marker) return ok(`${url} does not lead back here`)
  const remedy = 'homeserver.url: name the homeserver itself, past the reverse proxy'
  return failed(`${url} leads back to this service`, remedy, OPERATING)
}

/** Whatever it says to a request that nobody has signed, it must know the call. */
async function checkKnocking(subject: HomeserverInReach): Promise<Finding> {
  const answer = await askForKnock(subject)
  if (answer.kind === 'failed') return failed(`make_knock: ${answer.reason}`, 'homeserver.url', OPERATING)
  if (answer.body?.errcode !== 'M_UNRECOGNIZED') return ok('the homeserver knows make_knock')
  const remedy = 'homeserver.handover: inject, for which this service needs the signing key'
  return failed('the homeserver has no make_knock', remedy, OPERATING)
}

function askForKnock({ client, serverName, clock }: HomeserverInReach): Promise<HomeserverAnswer> {
  const [room, user] = [`!doctor:${serverName}`, `@doctor:${serverName}`].map(encodeURIComponent)
  return client.getUnsigned(`/_matrix/federation/v1/make_knock/${room}/${user}?ver=11`, clock() + WITHIN_MS)
}

async function checkClock({ client, clock }: HomeserverInReach): Promise<Finding> {
  const answer = await client.getUnsigned(VERSION, clock() + WITHIN_MS)
  const date = answer.kind === 'answered' ? Date.parse(answer.header('date') ?? '') : Number.NaN
  if (Number.isNaN(date)) return note('the homeserver does not tell its time')
  const difference = Math.abs(clock() - date)
  if (difference <= MOST_CLOCK_DIFFERENCE_MS) return ok('the homeserver has the same time')
  const seconds = Math.round(difference / 1000)
  return failed(
    `the homeserver's clock is ${seconds} s off ours`,
    'set both clocks, for example with chrony',
    OPERATING,
  )
}

async function checkKey({ client, clock, signingKey }: HomeserverUnderTest): Promise<Finding> {
  const answer = await client.get('/_matrix/key/v2/server', clock() + WITHIN_MS)
  const published = answer.kind === 'answered' && answer.status === 200 ? answer.body?.verify_keys : undefined
  if (!isJsonObject(published)) return note('the homeserver does not publish its keys at homeserver.url')
  const { keyId, publicKey } = signingKey
  const remedy = "signing_key_path: give the homeserver's own key file"
  const theirs = keyIn(published, keyId)
  if (theirs === undefined) return failed(`the homeserver does not publish ${keyId}`, remedy, OPERATING)
  if (Buffer.compare(theirs, publicKey) === 0) return ok(`${keyId} is the homeserver's key`)
  return failed(`the homeserver's ${keyId} is another key`, remedy, OPERATING)
}

function keyIn(published: JsonObject, keyId: string): Uint8Array | undefined {
  const entry = Object.hasOwn(published, keyId) ? published[keyId] : undefined
  return isJsonObject(entry) && typeof entry.key === 'string' ? decodeBase64(entry.key) : undefined
}

/** A request that every homeserver answers to every server that may speak to it. */
async function checkOwnRequests({ client, clock, serverName }: HomeserverUnderTest): Promise<Finding> {
  const user = encodeURIComponent(`@matrix-knock-doctor:${serverName}`)
  const answer = await client.get(`/_matrix/federation/v1/query/profile?user_id=${user}`, clock() + WITHIN_MS)
  if (answer.kind === 'failed') return failed(answer.reason, 'homeserver.url', OPERATING)
  if (answer.status === 401) {
    return failed(
      `the homeserver does not accept our signature: ${said(answer)}`,
      'signing_key_path, server_name',
      OPERATING,
    )
  }
  if (answer.status === 403) {
    const remedy = `add ${serverName} to the homeserver's own federation allow list (federation_domain_whitelist)`
    return failed(`the homeserver refuses requests of its own name: ${said(answer)}`, remedy, OPERATING)
  }
  return ok('the homeserver answers requests of its own name')
}

async function checkAppservice({ client, clock, appservice, serverName }: HomeserverUnderTest): Promise<Finding> {
  if (appservice === undefined) {
    return note('none configured: changes are seen after homeserver.max_state_age_seconds, not at once')
  }
  const ping = await pingOnce({ client, clock, appserviceId: appservice.id, asToken: appservice.asToken })
  if (ping.kind !== 'failed') return ok(`${serverName} reaches us, or has no pings to tell`)
  const remedy =
    'register the file of homeserver.appservice.registration_path with the homeserver, restart it, and start the service'
  return failed(`the homeserver does not reach us: ${ping.reason}`, remedy, OPERATING)
}

function said({ status, body }: Extract<HomeserverAnswer, { kind: 'answered' }>): string {
  return [status, body?.errcode, body?.error].filter((part) => part !== undefined).join(' ')
}
