/**
 * A user of a real homeserver, by the client-server API.
 * https://spec.matrix.org/latest/client-server-api/
 */
import type { Answer } from '../../support/http-client.ts'
import type { Json, JsonRecord } from '../../support/signing.ts'
import { startWatch, type Watch } from './watch.ts'
import { send } from './web-request.ts'

export interface RoomWish {
  readonly version: string
  /** `knock`, or the whole content of `m.room.join_rules`. */
  readonly joinRule: string | JsonRecord
  readonly name?: string
}

export interface Client {
  readonly userId: string
  readonly accessToken: string
  /** Any other call. @param path from `/_matrix` on, raw */
  call(method: string, path: string, body?: JsonRecord): Promise<Answer>
  /** @returns the room's id @throws Error where the homeserver refuses */
  createRoom(wish: RoomWish): Promise<string>
  invite(roomId: string, userId: string): Promise<Answer>
  kick(roomId: string, userId: string): Promise<Answer>
  ban(roomId: string, userId: string): Promise<Answer>
  unban(roomId: string, userId: string): Promise<Answer>
  leave(roomId: string): Promise<Answer>
  /** @param via the server to join through, where the own one is not in the room */
  join(roomId: string, via?: string): Promise<Answer>
  knock(roomId: string, via: string, reason?: string): Promise<Answer>
  /** Sends a text message. */
  say(roomId: string, text: string): Promise<Answer>
  setState(roomId: string, type: string, stateKey: string, content: JsonRecord): Promise<Answer>
  /** One state event's content. */
  state(roomId: string, type: string, stateKey?: string): Promise<Answer>
  /** The membership of a user, undefined where there is none. @throws Error where the homeserver does not say */
  membership(roomId: string, userId: string): Promise<Json | undefined>
  /** Starts to watch what happens from now on. */
  watch(): Promise<Watch>
}

/** A client that is logged in. */
export function createClient(url: string, userId: string, accessToken: string): Client {
  const call = (method: string, path: string, body?: JsonRecord): Promise<Answer> => {
    const headers = { authorization: `Bearer ${accessToken}` }
    return send({ url }, method, path, headers, body === undefined ? undefined : JSON.stringify(body))
  }
  const inRoom = (roomId: string, verb: string, body: JsonRecord): Promise<Answer> =>
    call('POST', `${roomPath(roomId)}/${verb}`, body)
  const state = (roomId: string, type: string, stateKey = ''): Promise<Answer> =>
    call('GET', statePath(roomId, type, stateKey))
  let messages = 0
  return {
    userId,
    accessToken,
    call,
    createRoom: (wish) => createRoom(call, wish),
    invite: (roomId, user) => inRoom(roomId, 'invite', { user_id: user }),
    kick: (roomId, user) => inRoom(roomId, 'kick', { user_id: user }),
    ban: (roomId, user) => inRoom(roomId, 'ban', { user_id: user }),
    unban: (roomId, user) => inRoom(roomId, 'unban', { user_id: user }),
    leave: (roomId) => inRoom(roomId, 'leave', {}),
    join: (roomId, via) => call('POST', `/_matrix/client/v3/join/${encodeURIComponent(roomId)}${query(via)}`, {}),
    knock(roomId, via, reason) {
      const path = `/_matrix/client/v3/knock/${encodeURIComponent(roomId)}${query(via)}`
      return call('POST', path, reason === undefined ? {} : { reason })
    },
    say(roomId, text) {
      messages += 1
      const path = `${roomPath(roomId)}/send/m.room.message/${encodeURIComponent(`${accessToken.slice(-8)}-${messages}`)}`
      return call('PUT', path, { msgtype: 'm.text', body: text })
    },
    setState: (roomId, type, stateKey, content) => call('PUT', statePath(roomId, type, stateKey), content),
    state,
    async membership(roomId, user) {
      const answer = await state(roomId, 'm.room.member', user)
      if (answer.status === 404) return undefined
      if (answer.status !== 200) throw new Error(`membership of ${user}: ${answer.status} ${answer.text}`)
      return answer.body.membership
    },
    watch: () => startWatch(call),
  }
}

async function createRoom(call: Client['call'], { version, joinRule, name }: RoomWish): Promise<string> {
  const rule = typeof joinRule === 'string' ? { join_rule: joinRule } : joinRule
  const created = await call('POST', '/_matrix/client/v3/createRoom', {
    room_version: version,
    preset: 'private_chat',
    initial_state: [{ type: 'm.room.join_rules', state_key: '', content: rule }],
    ...(name !== undefined && { name }),
  })
  if (created.status !== 200) throw new Error(`no room of version ${version}: ${created.status} ${created.text}`)
  return String(created.body.room_id)
}

function roomPath(roomId: string): string {
  return `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}`
}

function statePath(roomId: string, type: string, stateKey: string): string {
  return `${roomPath(roomId)}/state/${encodeURIComponent(type)}/${encodeURIComponent(stateKey)}`
}

/** Servers name the way as `via` now, and as `server_name` before 2024; both are understood side by side. */
function query(via: string | undefined): string {
  if (via === undefined) return ''
  const server = encodeURIComponent(via)
  return `?server_name=${server}&via=${server}`
}
