/**
 * What a stranger with one authentic server can bring into a room: straight to the homeserver by a transaction, which
 * nothing of ours sees, or as a knock through the service. Each shape is played in a room of its own.
 */
import { randomUUID } from 'node:crypto'
import type { Answer } from '../../support/http-client.ts'
import { sendKnockPath } from '../../support/remote-knocker.ts'
import type { JsonRecord } from '../../support/signing.ts'
import type { Person } from '../../support/test-room.ts'
import { type Finish, finishByHand, type Handwritten, sendByHand } from './handwritten.ts'
import { type Draft, draftEvent, draftKnock } from './own-requests.ts'
import type { RemoteServer } from './remote-server.ts'
import type { ResidentRoom } from './resident-room.ts'
import type { KnockableVersion } from './room-versions.ts'

/** A room, and the stranger at it. */
export interface Scene {
  readonly room: ResidentRoom
  readonly ca: string
  readonly stranger: RemoteServer
  /** A user of the stranger whom the room does not know. */
  somebody(): Person
  /** Another server of the stranger's, that no other shape uses. */
  anotherServer(): Promise<RemoteServer>
}

export interface Shape {
  /** What comes in, after "with" or "beside". */
  readonly title: string
  readonly version?: KnockableVersion
  /** Power of the stranger's member in the room. A knock needs none. */
  readonly power?: number
  /** The ways by which it is brought, one after the other. */
  readonly ways: readonly Way[]
}

export interface Way {
  readonly name: 'send_knock' | '/send'
  bring(scene: Scene): Promise<Brought>
}

/** An event that was sent, and what was said to it. */
export interface Brought extends Handwritten {
  readonly answer: Answer
}

/** A knock that is good but for some changes. */
export interface FlawedKnock {
  readonly title: string
  readonly version?: KnockableVersion
  /** Whose name it is in; a fresh one where left out. */
  readonly userId?: (server: string) => string
  /** Changes of the event before it is hashed. */
  readonly changes?: (draft: JsonRecord) => JsonRecord
  readonly finish?: Finish
}

/** A knock is brought through the service first, and then past it by another user. */
export function knock({ title, version, userId, changes = (draft) => draft, finish }: FlawedKnock): Shape {
  const write = async ({ room, stranger, somebody }: Scene): Promise<Handwritten> => {
    const fresh = somebody()
    const who = userId === undefined ? fresh : { ...fresh, id: userId(stranger.identity.name) }
    const draft = await draftKnock(room.homeserver, room.roomId, room.moderator.userId, who)
    return finishByHand(changes(draft), room.version, room.homeserver.kind, stranger.identity, finish)
  }
  const ways: readonly Way[] = [
    { name: 'send_knock', bring: async (scene) => sendAsKnock(scene, await write(scene)) },
    { name: '/send', bring: async (scene) => sendPast(scene, await write(scene)) },
  ]
  return { title, ways, ...(version !== undefined && { version }) }
}

/** An event of the stranger's member, who has the power for it. */
export function event(title: string, power: number, draft: Omit<Draft, 'sender'>, finish?: Finish): Shape {
  const bring = async (scene: Scene): Promise<Brought> => sendPast(scene, await memberEvent(scene, draft, finish))
  return { title, power, ways: [{ name: '/send', bring }] }
}

/** Signs an event of the stranger's member. */
export async function memberEvent(
  { room, stranger }: Scene,
  draft: Omit<Draft, 'sender'>,
  finish?: Finish,
): Promise<Handwritten> {
  const { homeserver, roomId, moderator, third, version } = room
  const written = await draftEvent(homeserver, roomId, moderator.userId, { ...draft, sender: third.id })
  return finishByHand(written, version, homeserver.kind, stranger.identity, finish)
}

export async function sendAsKnock({ room, ca, stranger }: Scene, written: Handwritten): Promise<Brought> {
  const path = sendKnockPath(room.roomId, written.eventId)
  return { ...written, answer: await sendByHand(room.homeserver, ca, stranger.identity, path, written.pdu) }
}

/** Sends events in one transaction straight to the homeserver. @returns the last */
export async function sendPast(
  { room, ca, stranger }: Scene,
  last: Handwritten,
  before: readonly Handwritten[] = [],
): Promise<Brought> {
  const { identity } = stranger
  const pdus = [...before, last].map(({ pdu }) => pdu)
  const content = { origin: identity.name, origin_server_ts: Date.now(), pdus }
  const path = `/_matrix/federation/v1/send/${randomUUID()}`
  return { ...last, answer: await sendByHand(room.homeserver, ca, identity, path, content) }
}
