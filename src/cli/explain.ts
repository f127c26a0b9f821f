/** `explain`: whether a user could knock on a room now, by which rule, and on which facts. */
import { loadSigningKey } from '../config/operator-files.ts'
import type { Config } from '../config/schema.ts'
import { compileAllowedServers, OWN_SERVER, SERVER_DENIED } from '../knock/allowed-servers.ts'
import { explainKnock, type KnockExplanation } from '../knock/explain-knock.ts'
import { createRooms } from '../knock/open-room.ts'
import type { Store } from '../knock/ports/store.ts'
import { type RoomId, serverNameOf, type UserId } from '../matrix/identifiers.ts'
import { factsObject, readUserId } from './knocks.ts'
import { type ExitCode, type Output, outJson } from './outcome.ts'
import { readRoomId } from './rooms.ts'
import { table } from './table.ts'

export interface ExplainOptions {
  readonly json?: boolean
}

/** @returns 0 where there is an answer, whichever; 1 where the store does not have the room, or no room can be read */
export async function explain(
  store: Store,
  config: Config,
  { room, user }: { readonly room: string; readonly user: string },
  { json }: ExplainOptions,
  output: Output,
): Promise<ExitCode> {
  const roomId = readRoomId(room, output)
  const userId = readUserId(user, output)
  if (roomId === undefined || userId === undefined) return 2
  const key = await loadSigningKey(config)
  if (key.ok && key.value.signingKey === undefined) {
    output.err(`signing_key_path: ${config.signing_key_path} cannot be read, so the homeserver alone can say`)
    return 1
  }
  const explanation = await explainFor(store, config, roomId, userId)
  if (json === true) outJson(output, explanationObject(roomId, userId, explanation))
  else for (const line of told(roomId, userId, explanation)) output.out(line)
  return explanation.facts.roomVersion === undefined ? 1 : 0
}

/** The operator's own rules come before those of the room, as in the service. */
async function explainFor(store: Store, config: Config, roomId: RoomId, userId: UserId): Promise<KnockExplanation> {
  const explanation = await explainKnock({ store, rooms: createRooms(store, 1, undefined) }, roomId, userId)
  const { allow_servers: allow, deny_servers: deny } = config.federation
  const server = serverNameOf(userId)
  if (server === config.server_name) return { ...explanation, verdict: OWN_SERVER }
  return compileAllowedServers({ allow, deny }).allows(server)
    ? explanation
    : { ...explanation, verdict: SERVER_DENIED }
}

function told(roomId: RoomId, userId: UserId, { verdict, facts }: KnockExplanation): readonly string[] {
  const could = verdict.ok ? 'could knock' : 'could not knock'
  const answer = verdict.ok ? '200' : `${verdict.status} ${verdict.errcode}: ${verdict.error}`
  return [
    `${userId} ${could} on ${roomId} now.`,
    ...table(
      [],
      [
        ['answer', answer],
        ['rule', verdict.rule],
        ...(verdict.ok || verdict.detail === undefined ? [] : [['because', verdict.detail]]),
        ['room version', facts.roomVersion ?? 'unknown'],
        ['join rule', facts.joinRule ?? 'none'],
        ['membership', facts.membership ?? 'none'],
        ['revision', facts.revision === undefined ? 'none' : String(facts.revision)],
      ],
    ),
  ]
}

function explanationObject(roomId: RoomId, userId: UserId, { verdict, facts }: KnockExplanation) {
  return {
    room_id: roomId,
    user_id: userId,
    allowed: verdict.ok,
    status: verdict.ok ? 200 : verdict.status,
    errcode: verdict.ok ? null : verdict.errcode,
    rule: verdict.rule,
    reason: verdict.ok ? null : verdict.error,
    detail: verdict.ok ? null : (verdict.detail ?? null),
    facts: factsObject(facts),
  }
}
