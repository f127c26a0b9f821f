/** Shapes that are more than one event: what the knock builds on, or what became of it or of its server since. */
import { createIdentity, type Identity, type JsonRecord } from '../../support/signing.ts'
import { good } from './beside-stage.ts'
import { finishByHand } from './handwritten.ts'
import { draftKnock } from './own-requests.ts'
import type { RemoteServer } from './remote-server.ts'
import { ODD_KEY_ID } from './shapes-of-knocks.ts'
import { type Brought, type Scene, type Shape, sendPast } from './toolbox.ts'

/** A knock by a user of a server of its own. */
interface Past {
  readonly title: string
  /** The keys that sign it; the server's own where left out. */
  readonly signers?: (server: RemoteServer) => readonly [Identity, ...Identity[]]
  /** A moderator redacts it when it is in the room. */
  readonly isRedacted: boolean
  /** What becomes of its server since. */
  readonly since?: (server: RemoteServer) => Promise<void> | void
}

const PASTS: readonly Past[] = [
  {
    title: 'a redacted knock whose server has another key under the same id since',
    isRedacted: true,
    since: setUpAnew,
  },
  { title: 'a knock whose server has another key under the same id since', isRedacted: false, since: setUpAnew },
  { title: 'a redacted knock whose server is gone since', isRedacted: true, since: (server) => server.close() },
  { title: 'a knock signed under an odd key id beside the proper one', signers: bothKeys, isRedacted: false },
  { title: 'a redacted knock signed under an odd key id beside the proper one', signers: bothKeys, isRedacted: true },
  { title: 'a knock signed under an odd key id alone', signers: (server) => [oddKey(server)], isRedacted: false },
  {
    title: 'a redacted knock signed under an odd key id alone',
    signers: (server) => [oddKey(server)],
    isRedacted: true,
  },
]

function setUpAnew({ homeserver, identity }: RemoteServer): void {
  homeserver.identity = createIdentity(identity.name, identity.keyId)
}

function oddKey({ homeserver, identity }: RemoteServer): Identity {
  const odd = createIdentity(identity.name, ODD_KEY_ID)
  homeserver.further = [odd]
  return odd
}

function bothKeys(server: RemoteServer): readonly [Identity, ...Identity[]] {
  return [server.identity, oddKey(server)]
}

async function bringWithPast(scene: Scene, { signers, isRedacted, since }: Past): Promise<Brought> {
  const { room } = scene
  const { homeserver, roomId, moderator, version } = room
  const server = await scene.anotherServer()
  const [signer, ...alsoSigns] = signers?.(server) ?? [server.identity]
  const draft = await draftKnock(homeserver, roomId, moderator.userId, server.person('somebody'))
  const knock = finishByHand(draft, version, homeserver.kind, signer, { alsoSigns })
  const brought = await sendPast({ ...scene, stranger: server }, knock)
  const isIn = await room.accepts(brought).then(
    () => true,
    () => false,
  )
  if (isIn && isRedacted) await redact(scene, brought.eventId)
  await since?.(server)
  return brought
}

async function redact({ room: { moderator, roomId } }: Scene, eventId: string): Promise<void> {
  const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/redact/${encodeURIComponent(eventId)}/1`
  good(await moderator.call('PUT', path, {}))
}

const ENDS = 20

/** Twenty knocks that build on one event, and one that builds on all of them. */
async function bringWithEnds(scene: Scene): Promise<Brought> {
  const { room, stranger, somebody } = scene
  const { homeserver, version, roomId, moderator } = room
  const draft = await draftKnock(homeserver, roomId, moderator.userId, somebody())
  const sign = (more: JsonRecord) => finishByHand({ ...draft, ...more }, version, homeserver.kind, stranger.identity)
  const people = Array.from({ length: ENDS }, () => somebody())
  const ends = people.map(({ id }) => sign({ sender: id, state_key: id }))
  const last = { prev_events: ends.map(({ eventId }) => eventId), depth: Number(draft.depth) + 1 }
  return sendPast(scene, sign(last), ends)
}

export const SHAPES_WITH_A_PAST: readonly Shape[] = [
  { title: 'prev_events that name twenty', ways: [{ name: '/send', bring: bringWithEnds }] },
  ...PASTS.map(
    (past): Shape => ({
      title: past.title,
      ways: [{ name: '/send', bring: (scene) => bringWithPast(scene, past) }],
    }),
  ),
]
