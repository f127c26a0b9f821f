/** Where the stranger's toolbox is played: a homeserver with the service beside it, the stranger, and a witness who knocks. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { createCertificateAuthority } from '../../support/certificates.ts'
import type { SignedEvent } from '../../support/events.ts'
import type { Answer } from '../../support/http-client.ts'
import type { JsonRecord } from '../../support/signing.ts'
import { good, registerAppservice, START } from './beside-stage.ts'
import { type RemoteServer, startRemoteServer } from './remote-server.ts'
import { openRoom, type ResidentRoom, stranger } from './resident-room.ts'
import { type ServiceBeside, startServiceBeside } from './service-beside.ts'
import type { Setting } from './settings.ts'
import type { Brought, Scene, Shape, Way } from './toolbox.ts'
import { until } from './until.ts'

/** What came of one way of bringing a shape. */
export interface Outcome {
  readonly way: Way['name']
  /** What was said to whoever brought it. */
  readonly status: number
  /** Whether the homeserver took it into the room. */
  readonly isIn: boolean
  /** What another user's make_knock and send_knock were answered afterwards. */
  readonly witness: string
}

/** What the table shows of a shape. */
export interface PlayedShape {
  readonly title: string
  readonly setting: string
  readonly outcomes: readonly Outcome[]
}

declare module 'vitest' {
  interface TaskMeta {
    shape?: PlayedShape
  }
}

/** The witness was let in. */
export const LET_IN = '200 and 200'
/** The homeserver has lost the room: its own moderator cannot say a word in it, and the witness is told 404. */
export const DEAD = 'no room of the homeserver any more'

export interface ToolboxStage {
  /** Plays a shape in a room of its own. */
  play(shape: Shape): Promise<readonly Outcome[]>
  /** Puts a service that knows no room in place of the one before. */
  newService(): Promise<void>
  /** Knocks as a witness on the room that a shape was played in. @returns both answers */
  knockAfter(shape: Shape): Promise<string>
  close(): Promise<void>
}

/** How long an event of which the homeserver says nothing is waited for before the witness knocks. */
const IN_WITHIN_MS = 1000
/** What is promised with a live feed, and some more. */
const NEWS_WITHIN_MS = 1200
const ASK_EVERY_MS = 50
/** How long until clients see what is in a room. */
const SHOWN_WITHIN_MS = 5000

export async function setToolboxStage({ resident: kind, handover }: Setting): Promise<ToolboxStage> {
  const authority = createCertificateAuthority()
  const directory = await mkdtemp(join(tmpdir(), 'matrix-knock-toolbox-'))
  const stops: (() => Promise<unknown>)[] = [() => rm(directory, { recursive: true, force: true })]
  const close = async (): Promise<void> => {
    for (const stop of stops.splice(0).reverse()) await stop()
  }
  try {
    const appservice = await registerAppservice(directory)
    const { registrationPath } = appservice
    const resident = await START[kind]({ authority, host: '127.0.0.2', registrationPath })
    stops.push(() => resident.stop())
    const anotherServer = async (): Promise<RemoteServer> => {
      const server = await startRemoteServer(authority, [resident])
      stops.push(() => server.close())
      return server
    }
    const [theirs, witness] = [await anotherServer(), await anotherServer()]
    const ca = authority.cert
    const scene = { ca, stranger: theirs, somebody: () => stranger(theirs), anotherServer }
    const rooms = new Map<Shape, ResidentRoom>()
    let service: ServiceBeside | undefined
    const newService = async (): Promise<void> => {
      const before = service
      service = undefined
      await before?.stop()
      service = await startServiceBeside({ homeserver: resident, ca, handover, appservice, maxStateAgeSeconds: 60 })
      await resident.routeKnocksTo(service.port)
    }
    stops.push(async () => service?.stop())
    await newService()
    return {
      newService,
      close,
      async play(shape) {
        const room = await openRoom(resident, theirs, shape.version ?? '11')
        rooms.set(shape, room)
        await givePower(room, shape.power ?? 0)
        const outcomes: Outcome[] = []
        for (const way of shape.ways) outcomes.push(await playWay(way, { ...scene, room }, witness))
        return outcomes
      },
      async knockAfter(shape) {
        const room = rooms.get(shape)
        if (room === undefined) throw new Error(`${shape.title} was not played`)
        return (await knockAs(witness, room)).answers
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function givePower({ moderator, roomId, third }: ResidentRoom, power: number): Promise<void> {
  if (power === 0) return
  const levels = (await moderator.state(roomId, 'm.room.power_levels')).body
  const users = { ...(levels.users as JsonRecord), [third.id]: power }
  good(await moderator.setState(roomId, 'm.room.power_levels', '', { ...levels, users }))
}

async function playWay(way: Way, scene: Scene, witness: RemoteServer): Promise<Outcome> {
  const { room } = scene
  const brought = await way.bring(scene)
  const wasIn = await comesIn(room, brought)
  const first = await knockAs(witness, room, wasIn ? idOf(brought) : undefined)
  const isIn = await isShown(room, brought, first.knock)
  // It came when the witness had knocked already: once more, after it.
  const last = isIn && !wasIn ? await knockAs(witness, room) : first
  return { way: way.name, status: brought.answer.status, isIn, witness: last.answers }
}

/** Waits until the homeserver builds on an event, or for as long as it may take. */
async function comesIn(room: ResidentRoom, brought: Brought): Promise<boolean> {
  const event = { ...brought, eventId: idOf(brought) }
  if (brought.answer.status !== 200 || isRefused(brought)) return false
  const builds = () => room.buildsOn(event).catch(() => false)
  return until('the event is in', builds, IN_WITHIN_MS).then(
    () => true,
    () => false,
  )
}

/** Whether a moderator's client is shown the event, once it is shown what came later. */
async function isShown(room: ResidentRoom, brought: Brought, later: SignedEvent | undefined): Promise<boolean> {
  const awaited = later?.eventId ?? idOf(brought)
  const isThere = async (eventId: string): Promise<boolean> => (await timeline(room)).has(eventId)
  await until('the moderator is shown it', () => isThere(awaited), SHOWN_WITHIN_MS).catch(() => undefined)
  return isThere(idOf(brought))
}

/** The id that the homeserver gives the event, where it says one. */
function idOf({ eventId, answer }: Brought): string {
  const ids = Object.keys((answer.body.pdus ?? {}) as JsonRecord)
  return ids.includes(eventId) || ids.length !== 1 ? eventId : String(ids[0])
}

/** Whether a transaction's answer leaves the event out, or says why it is dropped. */
function isRefused(brought: Brought): boolean {
  const results = brought.answer.body.pdus as { readonly [id: string]: JsonRecord } | undefined
  if (results === undefined) return false
  const result = results[idOf(brought)]
  return result === undefined || result.error !== undefined
}

async function timeline({ moderator, roomId }: ResidentRoom): Promise<ReadonlySet<unknown>> {
  const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/messages?dir=b&limit=100`
  const answer = await moderator.call('GET', path)
  good(answer)
  return new Set((answer.body.chunk as readonly JsonRecord[]).map(({ event_id }) => event_id))
}

/**
 * A user of the witness knocks through the service.
 * @param after an event that the service should have heard of by then
 */
async function knockAs(
  witness: RemoteServer,
  room: ResidentRoom,
  after?: string,
): Promise<{ readonly answers: string; readonly knock: SignedEvent | undefined }> {
  const { homeserver, roomId, version } = room
  const made = await templateAfter(witness, room, after)
  if (made.status === 404 && (await isDead(room))) return { answers: DEAD, knock: undefined }
  if (made.status !== 200) return { answers: `make_knock ${made.status} ${made.text}`, knock: undefined }
  const knock = witness.sign(made.body.event as JsonRecord, version)
  const sent = await witness.sendKnock(homeserver, roomId, knock)
  if (sent.status !== 200) return { answers: `send_knock ${sent.status} ${sent.text}`, knock: undefined }
  return { answers: LET_IN, knock }
}

/**
 * A template that builds on an event, so that the service is known to have heard of it; or, where no template ever does, one
 * from when the news must have come.
 */
async function templateAfter(
  witness: RemoteServer,
  { homeserver, roomId }: ResidentRoom,
  after: string | undefined,
): Promise<Answer> {
  const who = stranger(witness)
  const by = Date.now() + NEWS_WITHIN_MS
  for (;;) {
    const made = await witness.makeKnock(homeserver, roomId, who)
    if (made.status !== 200 || after === undefined || Date.now() > by) return made
    const { prev_events: named } = made.body.event as { readonly prev_events: readonly string[] }
    if (named.includes(after)) return made
    await pause(ASK_EVERY_MS)
  }
}

/** Whether the homeserver itself can write nothing more in a room: no service beside it could. */
async function isDead({ moderator, roomId }: ResidentRoom): Promise<boolean> {
  return (await moderator.say(roomId, 'is anybody there?')).status !== 200
}
