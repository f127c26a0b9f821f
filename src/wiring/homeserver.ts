/** The homeserver next door that the configuration describes, with the listener at which it tells us of events. */
import { randomUUID } from 'node:crypto'
import type { OperatorFiles } from '../config/operator-files.ts'
import type { Config } from '../config/schema.ts'
import { type AppservicePing, createAppservicePing } from '../homeserver/appservice-ping.ts'
import { createHomeserver, type Homeserver } from '../homeserver/homeserver.ts'
import { createAppserviceServer } from '../http/appservice-server.ts'
import { listen } from '../http/listen.ts'
import type { RoomWitness } from '../knock/ports/homeserver.ts'
import type { Clock } from '../knock/ports/rooms.ts'
import type { Store } from '../knock/ports/store.ts'
import { nativeEd25519 } from '../matrix/ed25519.ts'
import type { Log } from '../observability/log.ts'
import type { Metrics } from '../observability/metrics.ts'
import type { KnockHomeserver } from './knocks.ts'

export interface ConfiguredHomeserver extends KnockHomeserver {
  readonly witness: RoomWitness
  /** Of our own requests to it: a request that comes in with this value went round in a circle. */
  readonly marker: string
  /** @throws Error where the address for the application service cannot be listened on */
  start(): Promise<void>
  stop(): Promise<void>
}

export interface ConfiguredHomeserverParts {
  readonly config: Config
  readonly files: OperatorFiles
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
}

/** @returns undefined with `handover: none` */
export function createConfiguredHomeserver(parts: ConfiguredHomeserverParts): ConfiguredHomeserver | undefined {
  const { config, files, log, metrics } = parts
  const { handover, template, url } = config.homeserver
  if (handover === undefined || handover === 'none' || url === undefined || files.signingKey === undefined)
    return undefined
  const homeserver = createHomeserver({
    serverName: config.server_name,
    url,
    handover,
    template,
    caCertificates: files.caCertificates,
    signingKey: files.signingKey,
    ed25519: nativeEd25519,
    store: parts.store,
    clock: parts.clock,
    localUsers: config.homeserver.local_users,
    maxStateAgeMs: config.homeserver.max_state_age_seconds * 1000,
    handoverMs: config.timeouts.handover_seconds * 1000,
    newTransactionId: () => `mk${randomUUID().replaceAll('-', '')}`,
    observer: {
      roomRead(room, milliseconds) {
        metrics.roomRead('read')
        log.info({ room, milliseconds: Math.round(milliseconds) }, 'room read from the homeserver')
      },
      roomFailed(room, reason) {
        metrics.roomRead('failed')
        log.warn({ room, reason }, 'room cannot be read from the homeserver')
      },
    },
  })
  const feed = createFeed(parts, homeserver)
  const { supply, handover: handingOver, templates, witness, marker } = homeserver
  return {
    supply,
    handover: handingOver,
    templates,
    witness,
    marker,
    start: async () => feed?.start(),
    async stop() {
      feed?.stop()
      await homeserver.close()
    },
  }
}

interface Feed {
  start(): Promise<void>
  stop(): void
}

/** The listener that the homeserver tells of events, and the pings that show whether it still reaches it. */
function createFeed(
  { config, files, clock, log }: ConfiguredHomeserverParts,
  { client, feed }: Homeserver,
): Feed | undefined {
  const { appservice } = config.homeserver
  const { registration } = files
  if (appservice === undefined || registration === undefined) return undefined
  const server = createAppserviceServer({
    hsToken: registration.hsToken,
    take: feed.take,
    refused: (reason) => log.warn(reason),
    missed(reason) {
      feed.interrupted()
      log.warn(reason)
    },
    failed(error) {
      feed.interrupted()
      log.error({ err: error }, 'an event of the homeserver could not be taken')
    },
  })
  const ping: AppservicePing = createAppservicePing({
    client,
    appserviceId: registration.id,
    asToken: registration.asToken,
    clock,
    onSuccess: feed.reached,
    onFailure(reason) {
      feed.interrupted()
      log.warn({ reason }, 'the homeserver does not reach this application service: rooms are read again by age')
    },
  })
  return {
    async start() {
      const address = await listen(server, appservice.listen, 'homeserver.appservice.listen')
      log.info({ address }, 'listening to the homeserver')
      ping.start()
    },
    stop() {
      ping.stop()
      server.close()
      server.closeAllConnections()
    },
  }
}
