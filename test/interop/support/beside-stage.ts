/**
 * The cast of the scenarios: a resident homeserver behind nginx with the service beside it, a Synapse whose users knock by
 * their clients, another with members in the rooms, and a server whose knocks are signed here.
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { createCertificateAuthority } from '../../support/certificates.ts'
import { freePorts } from '../../support/service-process.ts'
import type { Person } from '../../support/test-room.ts'
import type { Client } from './client.ts'
import { startDendrite } from './dendrite.ts'
import type { Homeserver } from './homeserver.ts'
import { type RemoteServer, startRemoteServer } from './remote-server.ts'
import { type ServiceBeside, startServiceBeside } from './service-beside.ts'
import { joinRules, kindName, type RoomKind, type Setting } from './settings.ts'
import { startSynapse } from './synapse.ts'

/** A room of the resident with a moderator, and a member on a third homeserver. */
export interface BesideRoom {
  readonly roomId: string
  readonly kind: RoomKind
  readonly moderator: Client
  readonly member: Client
}

export interface Stage {
  readonly setting: Setting
  readonly resident: Homeserver
  readonly service: ServiceBeside
  readonly remote: RemoteServer
  /** Where knocking users are at home. */
  readonly knocking: Homeserver
  /** A user who knocks by a client, and whom no other scenario knows. */
  user(): Promise<Client>
  /** The same of the server whose knocks are signed here. */
  stranger(): Person
  /** The room that scenarios share which leave it as it was. */
  sharedRoom(kind: RoomKind): Promise<BesideRoom>
  newRoom(kind: RoomKind): Promise<BesideRoom>
  /** One that the third server made; its moderator is there, and the resident has a member. */
  foreignRoom(kind: RoomKind): Promise<BesideRoom>
  /** A user of the resident. */
  localUser(): Promise<Client>
  /** Waits for as long as the service may take to know what the moderator did just now. */
  newsArrive(): Promise<void>
  close(): Promise<void>
}

export const START = { synapse: startSynapse, dendrite: startDendrite } as const
const MAX_STATE_AGE_SECONDS = { feed: 60, age: 1 } as const
/** What is promised with a live feed. */
const FEED_MS = 1000

/** Starts everything; knocks at the resident's public name go to the service. */
export async function setStage(setting: Setting): Promise<Stage> {
  const authority = createCertificateAuthority()
  const directory = await mkdtemp(join(tmpdir(), 'matrix-knock-beside-'))
  const stops: (() => Promise<unknown>)[] = [() => rm(directory, { recursive: true, force: true })]
  const close = async (): Promise<void> => {
    for (const stop of stops.splice(0).reverse()) await stop()
  }
  try {
    const appservice = setting.news === 'feed' ? await registerAppservice(directory) : undefined
    const registered = appservice && { registrationPath: appservice.registrationPath }
    const options = { authority, host: '127.0.0.2', federationLimits: 'usual', ...registered } as const
    const started = await Promise.allSettled([
      START[setting.resident](options),
      startSynapse({ authority, host: '127.0.0.3' }),
      startSynapse({ authority, host: '127.0.0.4' }),
    ])
    for (const one of started) if (one.status === 'fulfilled') stops.push(() => one.value.stop())
    const [resident, knocking, third] = started.map((one) => {
      if (one.status === 'rejected') throw one.reason
      return one.value
    }) as [Homeserver, Homeserver, Homeserver]
    const remote = await startRemoteServer(authority, [resident, knocking, third])
    stops.push(() => remote.close())
    const maxStateAgeSeconds = MAX_STATE_AGE_SECONDS[setting.news]
    const { handover } = setting
    const ca = authority.cert
    const service = await startServiceBeside({ homeserver: resident, ca, handover, appservice, maxStateAgeSeconds })
    stops.push(() => service.stop())
    await resident.routeKnocksTo(service.port)
    const newsTakeMs = setting.news === 'feed' ? FEED_MS : maxStateAgeSeconds * 1000
    const newsArrive = (): Promise<void> => pause(newsTakeMs)
    return {
      setting,
      resident,
      service,
      remote,
      knocking,
      newsArrive,
      ...peopleAndRooms(resident, knocking, third, remote),
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** Writes the file that both sides read. */
export async function registerAppservice(directory: string) {
  const [port = 0] = await freePorts(1)
  const registrationPath = join(directory, 'registration.yaml')
  const registration = {
    id: 'matrix-knock',
    url: `http://127.0.0.1:${port}`,
    as_token: randomBytes(32).toString('base64url'),
    hs_token: randomBytes(32).toString('base64url'),
    sender_localpart: 'matrix-knock',
    rate_limited: false,
    namespaces: { users: [], aliases: [], rooms: [{ exclusive: false, regex: '!.*' }] },
  }
  await writeFile(registrationPath, JSON.stringify(registration), { mode: 0o600 })
  return { port, registrationPath }
}

function peopleAndRooms(
  resident: Homeserver,
  knocking: Homeserver,
  third: Homeserver,
  remote: RemoteServer,
): Pick<Stage, 'user' | 'stranger' | 'localUser' | 'sharedRoom' | 'newRoom' | 'foreignRoom'> {
  const shared = new Map<string, Promise<BesideRoom>>()
  let people = 0
  const next = (role: string): string => {
    people += 1
    return `${role}${people}`
  }
  const open = async (kind: RoomKind, home: Homeserver, guest: Homeserver): Promise<BesideRoom> => {
    const moderator = await home.register(next('moderator'))
    const member = await guest.register(next('member'))
    const joinRule = joinRules(kind, resident)
    const roomId = await moderator.createRoom({ version: kind.version, joinRule, name: 'Knock here' })
    good(await moderator.invite(roomId, member.userId))
    good(await member.join(roomId, home.name))
    return { roomId, kind, moderator, member }
  }
  const newRoom = (kind: RoomKind): Promise<BesideRoom> => open(kind, resident, third)
  return {
    localUser: () => resident.register(next('local')),
    foreignRoom: (kind) => open(kind, third, resident),
    user: () => knocking.register(next('user')),
    stranger: () => remote.person(next('stranger')),
    sharedRoom(kind) {
      const key = kindName(kind)
      const room = shared.get(key) ?? newRoom(kind)
      shared.set(key, room)
      return room
    },
    newRoom,
  }
}

/** @throws Error where the answer is not 200 */
export function good({ status, text }: { readonly status: number; readonly text: string }): void {
  if (status !== 200) throw new Error(`answered ${status} ${text}`)
}
