/**
 * Asks a notary, a server that the operator trusts, for the keys of another server.
 * https://spec.matrix.org/latest/server-server-api/#querying-keys-through-another-server
 */
import { setTimeout } from 'node:timers/promises'
import { createTokenBuckets, type TokenBucketsOptions } from '../../concurrency/token-buckets.ts'
import { canonicalJson } from '../../matrix/canonical-json.ts'
import type { KeyId, ServerName } from '../../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../../matrix/json.ts'
import { checkKeyObject, type ServerKeys } from '../../matrix/server-keys.ts'
import { allVerify, signaturesBy, signedBytes } from '../../matrix/signed-json.ts'
import type { Target } from '../discovery/targets.ts'
import { type Failure, failure, type Lack } from '../failure.ts'
import type { OutboundRequest } from '../http/agent.ts'
import type { KeyClientOptions } from './client.ts'
import { type KeyQuestion, type KeySource, MAX_KEY_OBJECT_BYTES, suffices } from './source.ts'

/** A notary and the keys that it was configured with: it is believed by these alone. */
export interface TrustedKeyServer {
  readonly serverName: ServerName
  /** Key id to 32 bytes. */
  readonly verifyKeys: ReadonlyMap<KeyId, Uint8Array>
}

/** A notary may know a server by several objects: one for each time that its keys changed. */
const MAX_OBJECTS = 8
/** Invented names must not make us flood a notary: it would stop to answer us, and with it our homeserver. */
const RATES: TokenBucketsOptions = {
  inAll: { perSecond: 10, burst: 50 },
  perCause: { perSecond: 3, burst: 10 },
}
const QUERY = '/_matrix/key/v2/query'

/**
 * A source that believes a notary only where both it and the server itself have signed. It asks for the wanted keys by
 * name, which makes the notary look for them, and where that does not give them for all keys: a key id that was made up
 * must not stand in the way of those that exist. How often it asks is bounded, in all and for each cause.
 */
export function createNotary(
  notary: TrustedKeyServer,
  options: KeyClientOptions,
  rates: TokenBucketsOptions = RATES,
): KeySource {
  const { discovery, agent, clock } = options
  const buckets = createTokenBuckets(rates)
  const failed = (reason: string, lack?: Lack): Failure => failure(`notary ${notary.serverName} ${reason}`, lack)

  /** @returns what was published, or why the notary could not be asked */
  async function query(request: NotaryRequest, question: KeyQuestion, targets: readonly Target[]) {
    const { server, deadline, signal } = question
    const maxBytes = MAX_OBJECTS * MAX_KEY_OBJECT_BYTES
    const response = await agent.requestAny(targets, { ...request, maxBytes, deadline, signal })
    if (response.kind === 'failed') return failed(`cannot be asked: ${response.reason}`, response.lack)
    return response.status === 200 ? believed(response.body, server, notary, options) : []
  }

  /** @returns a failure where it has been asked so much that it cannot be asked again in time */
  async function takeTurn({ cause, deadline, signal }: KeyQuestion): Promise<Failure | undefined> {
    const wait = buckets.take(cause, deadline - clock())
    if (wait === undefined) return failed('is asked as often as it may be', 'crowded')
    if (wait > 0) await setTimeout(wait, undefined, { signal }).catch(() => {})
    return signal.aborted ? failed('was not asked: others waited', 'crowded') : undefined
  }

  return {
    async ask(question) {
      const found = await discovery.discover(notary.serverName, question.deadline)
      if (found.kind === 'failed') return found
      const refused = await takeTurn(question)
      if (refused !== undefined) return refused
      const half = (question.deadline - clock()) / 2
      const named = await query(byName(question), { ...question, deadline: clock() + half }, found.targets)
      if (!('kind' in named) && suffices(named, question)) return { kind: 'keys', published: named }
      const all = await query(forAll(question), question, found.targets)
      if ('kind' in named && 'kind' in all) {
        if (all.lack === undefined) discovery.unreachable(notary.serverName)
        return all
      }
      const published = [named, all].flatMap((answer) => ('kind' in answer ? [] : answer))
      return published.length > 0 ? { kind: 'keys', published } : failed('has no usable keys of the server')
    },
  }
}

type NotaryRequest = Pick<OutboundRequest, 'method' | 'path' | 'headers' | 'body'>

function byName({ server, keyIds, minimumValidUntil }: KeyQuestion): NotaryRequest {
  const wanted = { minimum_valid_until_ts: minimumValidUntil }
  const content = { server_keys: { [server]: Object.fromEntries(keyIds.map((keyId) => [keyId, wanted])) } }
  return {
    method: 'POST',
    path: QUERY,
    headers: { accept: 'application/json', 'content-type': 'application/json' },
    body: canonicalJson(content),
  }
}

function forAll({ server, minimumValidUntil }: KeyQuestion): NotaryRequest {
  return {
    method: 'GET',
    path: `${QUERY}/${encodeURIComponent(server)}?minimum_valid_until_ts=${minimumValidUntil}`,
    headers: { accept: 'application/json' },
  }
}

async function believed(
  body: Uint8Array,
  server: ServerName,
  notary: TrustedKeyServer,
  { ed25519, denied }: KeyClientOptions,
): Promise<readonly ServerKeys[]> {
  const published: ServerKeys[] = []
  for (const object of objectsOf(body, server)) {
    if (!(await signedByNotary(object, notary, ed25519))) continue
    const checked = await checkKeyObject(object, server, ed25519, denied)
    if (checked.ok) published.push(checked.keys)
  }
  return published
}

/** The objects about the server: a notary may add others that were not asked for. */
function objectsOf(body: Uint8Array, server: ServerName): readonly JsonObject[] {
  const json = parseJson(body)
  const listed: JsonValue | undefined = json.ok && isJsonObject(json.value) ? json.value.server_keys : undefined
  if (!Array.isArray(listed)) return []
  return (listed as readonly JsonValue[])
    .filter(isJsonObject)
    .filter((object) => object.server_name === server)
    .slice(0, MAX_OBJECTS)
}

function signedByNotary(
  object: JsonObject,
  { serverName, verifyKeys }: TrustedKeyServer,
  ed25519: KeyClientOptions['ed25519'],
): Promise<boolean> {
  const made = [...signaturesBy(object, serverName)].flatMap(([keyId, signature]) => {
    const publicKey = verifyKeys.get(keyId as KeyId)
    return publicKey === undefined ? [] : [{ signature, publicKey }]
  })
  return allVerify(made, signedBytes(object), ed25519)
}
