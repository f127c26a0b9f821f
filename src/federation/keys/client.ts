/**
 * Asks a server itself for its keys.
 * https://spec.matrix.org/latest/server-server-api/#get_matrixkeyv2server
 */
import type { Clock } from '../../knock/ports/rooms.ts'
import type { Ed25519 } from '../../matrix/ed25519.ts'
import { parseJson } from '../../matrix/json.ts'
import { checkKeyObject } from '../../matrix/server-keys.ts'
import type { Discovery } from '../discovery/server-discovery.ts'
import { failure } from '../failure.ts'
import type { HttpAgent } from '../http/agent.ts'
import { type KeyAnswer, type KeyQuestion, type KeySource, MAX_KEY_OBJECT_BYTES } from './source.ts'

export interface KeyClientOptions {
  readonly discovery: Discovery
  readonly agent: HttpAgent
  readonly ed25519: Ed25519
  readonly clock: Clock
  /** Keys that the operator refuses. */
  readonly denied: (key: Uint8Array) => boolean
}

/** The source that knows best: what it answers replaces all that was known. */
export function createKeyClient(options: KeyClientOptions): KeySource {
  return {
    async ask(question) {
      const answer = await askServer(options, question)
      if (answer.kind === 'failed' && answer.lack === undefined) options.discovery.unreachable(question.server)
      return answer
    },
  }
}

async function askServer(
  { discovery, agent, ed25519, denied }: KeyClientOptions,
  { server, deadline, cause, signal }: KeyQuestion,
): Promise<KeyAnswer> {
  const found = await discovery.discover(server, deadline)
  if (found.kind === 'failed') return found
  const response = await agent.requestAny(found.targets, {
    method: 'GET',
    path: '/_matrix/key/v2/server',
    headers: { accept: 'application/json' },
    maxBytes: MAX_KEY_OBJECT_BYTES,
    deadline,
    signal,
    cause,
  })
  if (response.kind === 'failed') return failure(response.reason, response.lack)
  if (response.status !== 200) return { kind: 'failed', reason: `the server answers ${response.status}` }
  const json = parseJson(response.body)
  if (!json.ok) return { kind: 'failed', reason: json.reason }
  const checked = await checkKeyObject(json.value, server, ed25519, denied)
  return checked.ok ? { kind: 'keys', published: [checked.keys] } : { kind: 'failed', reason: checked.reason }
}
