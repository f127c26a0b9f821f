/** A room with a member on a second homeserver, and as many replicas of the built program as a test asks for. */
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { StoreLocation } from '../../src/store/open-store.ts'
import { errorsIn, type GatheredCast, gatherCast } from '../e2e/stage.ts'
import { startPostgres } from '../support/postgres-server.ts'
import { NO_LIMITS, type Service, type ServiceOptions, startService } from '../support/service-process.ts'
import type { JsonRecord } from '../support/signing.ts'
import { buildRoom, joinRule, joins, type Line, opening, type TestRoom } from '../support/test-room.ts'

export interface Scene extends GatheredCast {
  readonly room: TestRoom
  /** Starts a service for the resident, which ends with the test. */
  start(options?: Partial<Pick<ServiceOptions, 'rooms' | 'config' | 'socket'>>): Promise<Service>
}

/** @param more what happens in the room after Bob of the neighbour has joined it, before people may knock */
export async function setScene(more: (cast: GatheredCast) => readonly Line[] = () => []): Promise<Scene> {
  const cast = await gatherCast()
  onTestFinished(async () => {
    await cast.leave()
  })
  const { alice, bob, resident, authority } = cast
  const story = [...opening(alice, '10', 'public'), joins(bob), ...more(cast), joinRule(alice, 'knock')]
  const room = buildRoom('10', alice, story)
  cast.introduce([room])
  return {
    ...cast,
    room,
    async start({ config, ...options } = {}) {
      const quiet = { log: { level: 'warn' }, limits: NO_LIMITS, ...config }
      const service = await startService({
        ...{ identity: resident, ca: authority.cert, rooms: [], ...options },
        config: quiet,
      })
      onTestFinished(async () => {
        await service.stop()
      })
      return service
    },
  }
}

/** A store of its own for one test: how services are told of it, and where it is. */
export interface TestedStore {
  readonly config: JsonRecord
  /** @param service one of those that are on it */
  location(service: Service): StoreLocation
}

/** A file in the directory of the only service. */
export async function sqliteStore(): Promise<TestedStore> {
  return {
    config: { kind: 'sqlite' },
    location: ({ directory }) => ({ kind: 'sqlite', path: join(directory, 'knock.db') }),
  }
}

/** A database on a server of its own. */
export async function postgresStore(): Promise<TestedStore> {
  const server = await startPostgres()
  onTestFinished(() => server.remove())
  return onServer(server.url)
}

export function onServer(url: string): TestedStore {
  return {
    config: { kind: 'postgres', url, pool_size: 4 },
    location: () => ({ kind: 'postgres', url, poolSize: 2, statementTimeoutMs: 30_000 }),
  }
}

/** Lines of a service's log that tell of a bug. */
export function bugsIn(service: Service): readonly string[] {
  return errorsIn(service.log())
}
