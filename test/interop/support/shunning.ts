/** A real Synapse that knocks, with retries as operators have them, at services beside a homeserver in any condition. */
import { type CertificateAuthority, createCertificateAuthority } from '../../support/certificates.ts'
import { type FakeResident, startFakeResident } from '../../support/fake-resident.ts'
import { NO_LIMITS, type Service, startService } from '../../support/service-process.ts'
import type { JsonRecord } from '../../support/signing.ts'
import { buildRoom, type Line, opening, type Person, person, type TestRoom } from '../../support/test-room.ts'
import type { Client } from './client.ts'
import { type FrontDoor, openFrontDoor } from './front-door.ts'
import type { Homeserver } from './homeserver.ts'
import { openRetryTable, type RetryTable } from './retry-table.ts'
import { startSynapse } from './synapse.ts'

/** The Synapse that knocks, and what it remembers. */
export interface Knocking {
  readonly authority: CertificateAuthority
  readonly homeserver: Homeserver
  readonly retries: RetryTable
  /** A user whom nobody knows. */
  user(): Promise<Client>
}

export async function startKnocking(): Promise<Knocking> {
  const authority = createCertificateAuthority()
  const homeserver = await startSynapse({ authority, host: '127.0.0.3', retries: 'usual' })
  let users = 0
  return {
    authority,
    homeserver,
    retries: await openRetryTable(homeserver),
    user() {
      users += 1
      return homeserver.register(`user${users}`)
    },
  }
}

/** A service with a name of its own, beside a homeserver that does what a test says. */
export interface Place {
  readonly door: FrontDoor
  readonly resident: FakeResident
  readonly service: Service
  readonly alice: Person
  /** A room of Alice's at which people may knock, and what happened in it since. */
  open(...more: readonly Line[]): TestRoom
  /** Puts all to rights that a test has changed. */
  restore(): void
  close(): Promise<void>
}

/** How soon the service gives up what it waits for; long enough for everything that answers. */
const TIMEOUTS: JsonRecord = { handover_seconds: 5, request_seconds: 10 }
/** So that the service looks again at a room as soon as something has changed in it. */
export const MAX_STATE_AGE_MS = 100

/** @param config keys of the service's configuration, by section, beside the usual ones */
export async function startPlace(
  { authority, homeserver }: Knocking,
  host: `127.0.0.${number}`,
  config: Readonly<Record<string, JsonRecord>>,
): Promise<Place> {
  const door = await openFrontDoor(authority, host)
  const { identity } = door
  const alice = person('alice', identity)
  const resident = await startFakeResident({ identity, others: [homeserver.identity] })
  const beside: JsonRecord = {
    ...{ url: resident.url, local_users: [alice.id], max_state_age_seconds: MAX_STATE_AGE_MS / 1000 },
    ...config.homeserver,
  }
  const everything = { timeouts: TIMEOUTS, limits: NO_LIMITS, ...config, homeserver: beside }
  const service = await startService({ identity, ca: authority.cert, rooms: [], config: everything })
  door.to = service.port
  return {
    door,
    resident,
    service,
    alice,
    open(...more) {
      const room = buildRoom('11', alice, [...opening(alice, '11'), ...more])
      resident.has([room])
      return room
    },
    restore() {
      resident.heals()
      resident.joinsRefused = false
      door.alter = (event) => event
      door.before = async () => undefined
    },
    async close() {
      await service.stop()
      await resident.close()
      await door.close()
    },
  }
}
