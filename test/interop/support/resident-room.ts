/** A room of a real homeserver with a moderator of its own and a member of the third server, at which people knock. */
import type { SignedEvent, TestedVersion } from '../../support/events.ts'
import type { JsonRecord } from '../../support/signing.ts'
import type { Person } from '../../support/test-room.ts'
import type { Client } from './client.ts'
import type { Homeserver } from './homeserver.ts'
import { draftKnock, lastEvents, stateAt } from './own-requests.ts'
import type { RemoteServer } from './remote-server.ts'
import { until } from './until.ts'

export interface ResidentRoom {
  readonly homeserver: Homeserver
  readonly roomId: string
  readonly version: TestedVersion
  /** Made the room. */
  readonly moderator: Client
  /** Joined from the third server. */
  readonly third: Person
  /** A signed knock by a user of the third server, in the room as it is now. */
  knock(who: Person, changes?: JsonRecord): Promise<SignedEvent>
  /** Whether the homeserver, asked in its own name, builds on an event: the proof that it accepted it. */
  buildsOn(event: SignedEvent): Promise<boolean>
  /** Waits until it does, for 5 s. @returns how long it took, in milliseconds */
  accepts(event: SignedEvent): Promise<number>
}

let rooms = 0

/** Makes a room and lets the third server join it. */
export async function openRoom(
  homeserver: Homeserver,
  remote: RemoteServer,
  version: TestedVersion,
  joinRule: string | JsonRecord = 'knock',
): Promise<ResidentRoom> {
  rooms += 1
  const moderator = await homeserver.register(`moderator${rooms}`)
  const third = remote.person(`third${rooms}`)
  const roomId = await moderator.createRoom({ version, joinRule, name: 'Knock here' })
  const invited = await moderator.invite(roomId, third.id)
  if (invited.status !== 200) throw new Error(`no invitation: ${invited.text}`)
  await remote.join(homeserver, roomId, third)
  const buildsOn = async ({ eventId }: SignedEvent): Promise<boolean> => {
    const last = await lastEvents(homeserver, roomId, moderator.userId)
    if (last.includes(eventId)) return true
    const ids = await stateAt(homeserver, 'state_ids', roomId, last[0] ?? '')
    return ((ids.body.pdu_ids ?? []) as readonly string[]).includes(eventId)
  }
  return {
    homeserver,
    roomId,
    version,
    moderator,
    third,
    async knock(who, changes) {
      return remote.sign(await draftKnock(homeserver, roomId, moderator.userId, who), version, changes)
    },
    buildsOn,
    accepts: (event) => until(`${homeserver.kind} builds on the event`, () => buildsOn(event), 5000),
  }
}

/** A user of the third server whom no other test knows. */
export function stranger(remote: RemoteServer): Person {
  strangers += 1
  return remote.person(`stranger${strangers}`)
}

let strangers = 0
