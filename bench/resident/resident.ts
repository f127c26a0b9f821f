/** The homeserver next door as measurements use it, with what the service has to be told of it. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from '../../test/support/service-process.ts'
import { answerOf, forkTypeScript } from '../forked.ts'
import { ROOM_VERSION } from '../native-signing.ts'
import { createDirectory, removeDirectory } from '../owned.ts'
import type { BenchRoom } from '../rooms.ts'
import type { ServiceSections } from '../service.ts'
import type { RequestLimit, ResidentMessage, ResidentRoom } from './resident-process.ts'

export interface Resident {
  readonly sections: Pick<ServiceSections, 'homeserver'>
  /** Has a room from now on. */
  serve(room: BenchRoom): Promise<void>
  /** Tells the running service of something that just happened elsewhere: from then on its feed is live. */
  liven(): Promise<void>
  /** Requests that it was sent, pings not among them. */
  count(): Promise<number>
  close(): void
}

const TOKENS = { as_token: 'as-token-only-on-loopback', hs_token: 'hs-token-only-on-loopback' }

/** @param name of our server @param answerMs each answer takes so long, in milliseconds @param limit on our requests */
export async function startResident(name: string, answerMs: number, limit?: RequestLimit): Promise<Resident> {
  const directory = createDirectory()
  const [port = 0] = await freePorts(1)
  const registrationPath = join(directory, 'registration.yaml')
  const registration = {
    ...{ id: 'matrix-knock', url: `http://127.0.0.1:${port}`, sender_localpart: 'matrix-knock', ...TOKENS },
    namespaces: { rooms: [{ exclusive: false, regex: '!.*' }] },
  }
  writeFileSync(registrationPath, JSON.stringify(registration), { mode: 0o600 })
  const child = forkTypeScript('./resident/resident-process.ts')
  const ask = (message: ResidentMessage): Promise<number> => {
    child.send(message)
    return answerOf<number>(child)
  }
  const answersAt = await ask({ kind: 'start', answerMs, limit, appservice: { port, hsToken: TOKENS.hs_token } })
  return {
    sections: {
      homeserver: {
        handover: 'inject',
        url: `http://127.0.0.1:${answersAt}`,
        // Only a live feed spares the homeserver.
        max_state_age_seconds: 1,
        local_users: [`@creator:${name}`],
        appservice: { listen: { host: '127.0.0.1', port }, registration_path: registrationPath },
      },
    },
    async serve(room) {
      await ask({ kind: 'serve', room: answersFor(room, name) })
    },
    async liven() {
      const elsewhere = { event_id: '$alive', room_id: `!elsewhere:${name}`, sender: `@somebody:${name}` }
      const event = { ...elsewhere, type: 'm.room.message', content: {}, origin_server_ts: Date.now() }
      const status = await ask({ kind: 'tell', events: [event] })
      if (status !== 200) throw new Error(`the feed was answered ${status}`)
    },
    count: () => ask({ kind: 'count' }),
    close() {
      child.disconnect()
      removeDirectory(directory)
    },
  }
}

function answersFor({ roomId, core, tips, members }: BenchRoom, origin: string): ResidentRoom {
  const event = {
    room_id: roomId,
    prev_events: tips.map(({ eventId }) => eventId),
    depth: Number(tips[0]?.pdu.depth) + 1,
    auth_events: core.map(({ eventId }) => eventId),
  }
  const authChain = core.map(({ pdu }) => pdu)
  const state = [...authChain, ...[...members()].map(({ pdu }) => pdu)]
  return {
    roomId,
    template: JSON.stringify({ room_version: ROOM_VERSION, event }),
    state: JSON.stringify({ pdus: state, auth_chain: authChain }),
    events: tips.map(({ eventId, pdu }) => [eventId, JSON.stringify({ origin, origin_server_ts: 0, pdus: [pdu] })]),
  }
}
