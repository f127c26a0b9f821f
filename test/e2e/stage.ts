/** The cast of the end-to-end tests: the built service, a remote homeserver that knocks, and a neighbour in its rooms. */
import { type CertificateAuthority, createCertificateAuthority } from '../support/certificates.ts'
import type { TestedVersion } from '../support/events.ts'
import { type FakeHomeserver, startFakeHomeserver } from '../support/fake-homeserver.ts'
import { NO_LIMITS, type Service, type ServiceOptions, startService } from '../support/service-process.ts'
import { createIdentity, type Identity, type JsonRecord } from '../support/signing.ts'
import { type Person, person, type TestRoom } from '../support/test-room.ts'

export interface Cast {
  readonly authority: CertificateAuthority
  readonly resident: Identity
  /** Named `127.0.0.1:PORT`. */
  readonly remote: FakeHomeserver
  /** Named `localhost:PORT`. */
  readonly neighbour: FakeHomeserver
  /** Of the resident. */
  readonly alice: Person
  /** Of the neighbour. */
  readonly bob: Person
}

export interface Stage extends Cast {
  readonly service: Service
  /** A user of the remote. */
  knocker(localpart: string): Person
  close(): Promise<void>
}

/** The cast without a service. */
export interface GatheredCast extends Cast {
  /** Tells the fakes of rooms, for the ids of their events. */
  introduce(rooms: readonly TestRoom[]): void
  leave(): Promise<unknown>
}

/** Starts the fakes. */
export async function gatherCast(): Promise<GatheredCast> {
  const authority = createCertificateAuthority()
  const resident = createIdentity('resident.example')
  const versions = new Map<string, TestedVersion>()
  const shared = {
    authority,
    versionOf: (roomId: string) => versions.get(roomId),
    publicKeyOf: (server: string, keyId: string) =>
      server === resident.name && keyId === resident.keyId ? resident.publicKey : undefined,
  }
  const remote = await startFakeHomeserver(shared)
  const neighbour = await startFakeHomeserver({ ...shared, host: 'localhost' })
  return {
    authority,
    resident,
    remote,
    neighbour,
    alice: person('alice', resident),
    bob: person('bob', neighbour.identity),
    introduce(rooms) {
      for (const { roomId, version } of rooms) versions.set(roomId, version)
    },
    leave: () => Promise.all([remote.close(), neighbour.close()]),
  }
}

/** Starts everything. The rooms are built when the fakes have their ports, and so the users their names. */
export async function setStage(
  rooms: (cast: Cast) => readonly TestRoom[],
  config: Readonly<Record<string, JsonRecord>> = {},
  limits: Pick<ServiceOptions, 'descriptors'> = {},
): Promise<Stage> {
  const cast = await gatherCast()
  const built = rooms(cast)
  cast.introduce(built)
  // The same few people knock on room after room; a test of the limits says its own.
  const options = {
    identity: cast.resident,
    ca: cast.authority.cert,
    rooms: built,
    config: { limits: NO_LIMITS, ...config },
    ...limits,
  }
  const service = await startService(options).catch(async (error) => {
    await cast.leave()
    throw error
  })
  return {
    ...cast,
    service,
    knocker: (localpart) => person(localpart, cast.remote.identity),
    async close() {
      const code = await service.stop()
      await cast.leave()
      if (code !== 0) throw new Error(`the service ended with exit code ${code}: ${service.log()}`)
      const bugs = errorsIn(service.log())
      if (bugs.length > 0) throw new Error(`the service logged errors: ${bugs.join('\n')}`)
    },
  }
}

const ERROR_LEVEL = 50

/** Lines of the log that tell of a bug: nothing that a remote can send may cause one. */
export function errorsIn(log: string): readonly string[] {
  return log.split('\n').filter((line) => {
    const [, level] = /^\{"level":(\d+)/.exec(line) ?? []
    return Number(level) >= ERROR_LEVEL || (line !== '' && level === undefined)
  })
}

/** Waits until something holds, or fails saying what did not come. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, withinMs = 10_000): Promise<void> {
  const deadline = Date.now() + withinMs
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`within ${withinMs} ms there was no ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
