/**
 * The composition root: from configuration to adapters, use cases and listeners, started and stopped in order. The only
 * file that sees everything.
 */
import type { OperatorFiles } from '../config/operator-files.ts'
import type { Config } from '../config/schema.ts'
import { createOutboxLimit, type OutboxLimit } from '../federation/delivery/outbox-limit.ts'
import { createDeliveryWorker, type DeliveryWorker } from '../federation/delivery/worker.ts'
import type { Federation } from '../federation/federation.ts'
import { createAdminServer } from '../http/admin-server.ts'
import { createDrain } from '../http/drain.ts'
import { createFederationApp } from '../http/federation-app.ts'
import { listen, type Place } from '../http/listen.ts'
import { compileAllowedServers } from '../knock/allowed-servers.ts'
import type { Clock } from '../knock/ports/rooms.ts'
import type { Store } from '../knock/ports/store.ts'
import { nativeEd25519 } from '../matrix/ed25519.ts'
import { createLackLog } from '../observability/lack-log.ts'
import type { OpenLog } from '../observability/log.ts'
import { createMetrics, type Metrics } from '../observability/metrics.ts'
import { createRequestLog } from '../observability/request-log.ts'
import { type AttemptSettling, createAttemptSettling } from '../upkeep/attempt-settling.ts'
import { createSignatureAudit, type SignatureAudit } from '../upkeep/signature-audit.ts'
import { startVerificationThread, type VerificationThread } from '../verification/verification-thread.ts'
import { createConfiguredFederation } from './federation.ts'
import { type ConfiguredHomeserver, createConfiguredHomeserver } from './homeserver.ts'
import { createConfiguredKnocks } from './knocks.ts'
import { type ConfiguredUpstream, createConfiguredUpstream } from './upstream.ts'

export interface Service {
  /** Where the federation listener is reached: `127.0.0.1:8450`. */
  readonly address: string
  readonly adminAddress: string
  /** Finishes what is under way, within bounds, and closes everything. */
  stop(): Promise<void>
}

export interface ServiceParts {
  readonly config: Config
  readonly files: OperatorFiles
  /** Open, with whatever it starts with. The service closes it. */
  readonly store: Store
  readonly logging: OpenLog
  readonly clock: Clock
}

/** A connection that a proxy keeps open may carry a request that was sent before it could know that we leave. */
const IDLE_BEFORE_CLOSE_MS = 500
const DELIVERIES_DRAIN_MS = 3_000
/** A knock that was seen in its room at the last moment is recorded by who waited for it. */
const RECORDED_WITHIN_MS = 1_000
const DAY_MS = 86_400_000

/**
 * Puts the service together and listens.
 * @throws Error of the system where an address cannot be listened on; everything is closed again then
 */
export async function startService(parts: ServiceParts): Promise<Service> {
  const { config, store, clock } = parts
  const { log } = parts.logging
  const metrics = createMetrics({ queue: store, holdings: store.holdings, clock })
  const onLack = createLackLog(parts.logging, clock)
  const federation = createConfiguredFederation({ ...parts, keyStore: store, onLookup: metrics.keyLookup, onLack })
  const deliveries = createDeliveries(parts, federation, metrics)
  const outboxLimit = createDeliveryLimit(parts, metrics)
  const audit = createAudit(parts, federation)
  const homeserver = createConfiguredHomeserver({ ...parts, log, metrics })
  const settling = createSettling(parts, homeserver, metrics)
  const upstream = createConfiguredUpstream(parts)
  const verification = startVerificationThread(nativeEd25519)
  verification.onLost((reason) =>
    log.error({ reason }, 'the thread that verifies signatures was lost: the thread pool does its work, more slowly'),
  )
  const outbound = { federation, deliveries, homeserver, upstream }
  const app = await createInbound(parts, metrics, verification, outbound)
  const { server } = app
  const drain = createDrain(server, { idleMs: IDLE_BEFORE_CLOSE_MS, mostMs: config.timeouts.request_seconds * 1000 })
  let state: 'starting' | 'serving' | 'stopping' = 'starting'
  const adminPorts = {
    async notReady() {
      const checked = await store.check()
      const reasons = state === 'serving' ? [] : [`the service is ${state}`]
      return checked.ok ? reasons : [...reasons, checked.reason]
    },
    metrics: metrics.expose,
    metricsType: metrics.contentType,
    failed: (error: unknown) => log.error({ err: error }, 'admin request failed'),
  }
  const admin = createAdminServer(adminPorts, [config.admin.host, ...config.admin.hosts])

  async function stop(): Promise<void> {
    state = 'stopping'
    await drain.begin()
    const nextDoor = [settling?.stop(), homeserver?.stop(), upstream?.stop()]
    await Promise.all([deliveries.stop(DELIVERIES_DRAIN_MS), outboxLimit.stop(), audit.stop(), ...nextDoor])
    await federation.close()
    await app.close()
    await verification.stop()
    admin.close()
    admin.closeAllConnections()
    await store.close()
  }

  try {
    const adminAddress = await listen(admin, { host: config.admin.host, port: config.admin.port }, 'admin')
    await homeserver?.start()
    await verification.ready()
    const address = await listen(server, whereToListen(config), 'listen')
    state = 'serving'
    deliveries.start()
    outboxLimit.start()
    audit.start()
    settling?.start()
    return { address, adminAddress, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function createDeliveries({ config, store, logging, clock }: ServiceParts, { sender }: Federation, metrics: Metrics) {
  const { log } = logging
  const worker: DeliveryWorker = createDeliveryWorker({
    queue: store,
    sender,
    clock,
    random: Math.random,
    maxParallel: config.deliveries.max_parallel,
    giveUpMs: config.deliveries.give_up_days * DAY_MS,
    timeoutMs: config.timeouts.delivery_seconds * 1000,
    observer: {
      delivered(destination, events) {
        metrics.delivered(events)
        log.info({ destination, events }, 'delivered')
      },
      failed(destination, attempts, reason) {
        metrics.deliveryFailed()
        log.warn({ destination, attempts, reason }, 'delivery failed, will try again')
      },
      halved(destination, events, reason) {
        metrics.deliveryRefused()
        log.info({ destination, events, reason }, 'the server refuses a transaction: its events go out in halves')
      },
      refused(destination, event, reason) {
        metrics.refused()
        log.warn({ destination, event, reason }, 'dropped a knock that the server refuses')
      },
      gaveUp(destination, events, oldestAt) {
        metrics.gaveUp(events)
        const since = new Date(oldestAt).toISOString()
        log.warn({ destination, events, since }, 'gave up knocks that waited for deliveries.give_up_days')
      },
      fault: (error) => log.error({ err: error }, 'delivering failed'),
    },
  })
  return worker
}

function createDeliveryLimit({ config, store, clock, logging: { log } }: ServiceParts, metrics: Metrics): OutboxLimit {
  return createOutboxLimit({
    queue: store,
    clock,
    mostWaiting: config.deliveries.max_waiting,
    observer: {
      gaveUp(destination, events, oldestAt) {
        metrics.gaveUp(events)
        const since = new Date(oldestAt).toISOString()
        log.warn({ destination, events, since }, 'gave up the oldest knocks: more than deliveries.max_waiting wait')
      },
      fault: (error) => log.error({ err: error }, 'the outbox could not be held within deliveries.max_waiting'),
    },
  })
}

function createAudit({ store, clock, logging: { log } }: ServiceParts, { keyring }: Federation): SignatureAudit {
  return createSignatureAudit({
    store,
    keyring,
    ed25519: nativeEd25519,
    clock,
    observer: {
      wrong: (room, { eventId, pdu }) =>
        log.error(
          { room, event: eventId, type: pdu.type },
          'a signature of an imported event is wrong: the event is not used any more',
        ),
      doubtful: (room, { eventId, pdu }) =>
        log.warn(
          { room, event: eventId, type: pdu.type },
          'no key that is known verifies a signature of an imported event, an earlier key may: the event is used',
        ),
      failed: (error) => log.error({ err: error }, 'the audit of signatures failed'),
    },
  })
}

/** @returns undefined where no homeserver takes knocks that we deliver */
function createSettling(
  { config, store, clock, logging: { log } }: ServiceParts,
  homeserver: ConfiguredHomeserver | undefined,
  metrics: Metrics,
): AttemptSettling | undefined {
  if (homeserver === undefined || homeserver.handover.homeserverDelivers) return undefined
  return createAttemptSettling({
    serverName: config.server_name,
    store,
    witness: homeserver.witness,
    clock,
    underWayMs: config.timeouts.handover_seconds * 1000 + RECORDED_WITHIN_MS,
    observer: {
      settled: ({ event: { eventId }, decision: { roomId } }) =>
        log.info({ room: roomId, event: eventId }, 'a knock was seen in its room later: recorded'),
      waiting: metrics.attempts,
      failed: (error) => log.error({ err: error }, 'attempts to hand knocks over could not be settled'),
    },
  })
}

interface Outbound {
  readonly federation: Federation
  readonly deliveries: DeliveryWorker
  /** One of these, or none. */
  readonly homeserver: ConfiguredHomeserver | undefined
  readonly upstream: ConfiguredUpstream | undefined
}

function createInbound(
  { config, files, store, logging, clock }: ServiceParts,
  metrics: Metrics,
  ed25519: VerificationThread,
  { federation: { keyring }, deliveries: { heardFrom }, homeserver, upstream }: Outbound,
) {
  const { server_name: serverName, federation, limits, timeouts, listen: listening } = config
  const logRequest = createRequestLog(logging, clock)
  return createFederationApp({
    ports: { serverName, keyring, ed25519, clock },
    knocks: createConfiguredKnocks({
      config,
      store,
      keyring,
      ed25519,
      clock,
      homeserver,
      upstream: upstream?.upstream,
    }),
    allowedServers: compileAllowedServers({ allow: federation.allow_servers, deny: federation.deny_servers }),
    keyLookupMs: timeouts.key_lookup_seconds * 1000,
    requestMs: timeouts.request_seconds * 1000,
    trustProxy: listening.trust_proxy,
    addressLimit: { perSecond: limits.per_address.per_second, burst: limits.per_address.burst },
    tls: files.tls,
    heardFrom,
    ownMarker: (homeserver ?? upstream)?.marker,
    observer: {
      answered(request) {
        metrics.answered(request)
        logRequest(request)
      },
      failed: (error) => logging.log.error({ err: error }, 'request failed'),
      cameBack: () =>
        logging.log.error(
          'homeserver.url leads back to this service: it must name the homeserver itself, past the proxy',
        ),
    },
  })
}

function whereToListen({ listen: { fd, host, port } }: Config): Place {
  return fd === undefined ? { host, port } : { fd }
}
