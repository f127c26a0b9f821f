/**
 * Asks a notary, a server that the operator trusts, for the keys of another server.
 * https://spec.matrix.org/latest/server-server-api/#querying-keys-through-another-server
 */
import { canonicalJson } from '../matrix/canonical-json.ts'
import type { KeyId, ServerName } from '../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../matrix/json.ts'
import { checkKeyObject, type ServerKeys } from '../matrix/server-keys.ts'
import { allVerify, signaturesBy, signedBytes } from '../matrix/signed-json.ts'
import type { OutboundRequest, Target } from './http-agent.ts'
import type { KeyClientOptions } from './key-client.ts'
import { type KeyQuestion, type KeySource, MAX_KEY_OBJECT_BYTES, suffices } from './key-source.ts'

/** A notary and the keys that it was configured with: it is believed by these alone. */
export interface TrustedKeyServer {
  readonly serverName: ServerName
  /** Key id to 32 bytes. */
  readonly verifyKeys: ReadonlyMap<KeyId, Uint8Array>
}

/** A notary may know a server by several objects: one for each time that its keys changed. */
const MAX_OBJECTS = 8
const QUERY = '/_matrix/key/v2/query'

/**
 * A source that believes a notary only where both it and the server itself have signed. It asks for the wanted keys by
 * name, which makes the notary look for them, and where that does not give them for all keys: a key id that was made up
 * must not stand in the way of those that exist.
 */
export function createNotary(notary: TrustedKeyServer, options: KeyClientOptions): KeySource {
  const { discovery, agent, clock } = options

  /** @returns what was published, or why the notary could not be asked */
  async function query(request: NotaryRequest, { server, deadline }: KeyQuestion, targets: readonly Target[]) {
    const response = await agent.requestAny(targets, {
      ...request,
      maxBytes: MAX_OBJECTS * MAX_KEY_OBJECT_BYTES,
      deadline,
    })
    if (response.kind === 'failed') return response.reason
    return response.status === 200 ? believed(response.body, server, notary, options) : []
  }

  return {
    async ask(question) {
      const found = await discovery.discover(notary.serverName, question.deadline)
      if (found.kind === 'failed') return found
      const half = (question.deadline - clock()) / 2
      const named = await query(byName(question), { ...question, deadline: clock() + half }, found.targets)
      if (typeof named !== 'string' && suffices(named, question)) return { kind: 'keys', published: named }
      const all = await query(forAll(question), question, found.targets)
      if (typeof named === 'string' && typeof all === 'string') {
        discovery.unreachable(notary.serverName)
        return { kind: 'failed', reason: `notary ${notary.serverName}: ${all}` }
      }
      const published = [named, all].flatMap((answer) => (typeof answer === 'string' ? [] : answer))
      return published.length > 0
        ? { kind: 'keys', published }
        : { kind: 'failed', reason: `notary ${notary.serverName} has no usable keys of the server` }
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
