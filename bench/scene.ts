/** The cast of a measurement: our server, servers that knock, a directory for the service, and the load. */
import { type Floor, type FloorName, startFloor } from './floor.ts'
import { type Load, startLoad } from './load.ts'
import { createSigner, publicKeyDer, type Signer } from './native-signing.ts'
import { createDirectory, removeDirectory } from './owned.ts'
import {
  type BenchRoom,
  type Knocker,
  knockOn,
  makeKnockRequest,
  planRoom,
  type RoomKnock,
  sendKnockRequest,
} from './rooms.ts'
import { createServiceDirectory, type ServiceDirectory, type ServiceSections } from './service.ts'
import { stageKeys, stageRoom } from './staging.ts'
import { withStore } from './store-place.ts'

export interface Scene {
  readonly here: Signer
  /** In the store. */
  readonly rooms: readonly BenchRoom[]
  readonly directory: ServiceDirectory
  /** For what a floor stores. */
  readonly floorDirectory: string
  readonly load: Load
  /** A user of one of the remote servers. */
  knocker(name: string, index: number): Knocker
  startFloor(name: FloorName): Promise<Floor>
  close(): void
}

/** Our server's name. */
export const HERE = 'here.bench.test'
const REMOTES = 8

/**
 * Sets a scene with rooms in the store, and the keys of the remote servers.
 * @param sections of the service's configuration, where they are not the usual ones
 */
export async function setScene(
  plan: (here: Signer) => readonly BenchRoom[],
  sections: ServiceSections = {},
): Promise<Scene> {
  const here = createSigner(HERE)
  const remotes = Array.from({ length: REMOTES }, (_, index) => createSigner(`remote${index}.bench.test`))
  const rooms = plan(here)
  const directory = await createServiceDirectory(here, sections)
  await withStore(directory.store, async (store) => {
    await stageKeys(store, remotes)
    for (const room of rooms) await stageRoom(store, here, room)
  })
  const load = startLoad()
  const floorDirectory = createDirectory()
  return {
    here,
    rooms,
    directory,
    floorDirectory,
    load,
    knocker(name, index) {
      const server = remotes[index % REMOTES] as Signer
      return { userId: `@${name}-${index}:${server.identity.name}`, server }
    },
    startFloor(name) {
      const keys = remotes.map((remote) => [remote.identity.name, publicKeyDer(remote)] as const)
      return startFloor(name, { keys, directory: floorDirectory })
    },
    close() {
      load.close()
      directory.remove()
      removeDirectory(floorDirectory)
    },
  }
}

/** Requests for templates by as many users, each of the rooms in turn. @param name keeps the users apart from others */
export function makeKnockRequests(
  { knocker, here }: Scene,
  rooms: readonly BenchRoom[],
  name: string,
  count: number,
): readonly string[] {
  return Array.from({ length: count }, (_, index) => {
    return makeKnockRequest(inTurn(rooms, index), knocker(name, index), here.identity.name)
  })
}

/** Knocks of as many users on each of the rooms in turn. @param name keeps the users apart from others */
export function knocksInTurn(
  scene: Scene,
  rooms: readonly BenchRoom[],
  name: string,
  count: number,
  prevEvents?: readonly string[],
): readonly RoomKnock[] {
  return Array.from({ length: count }, (_, index) => {
    const room = inTurn(rooms, index)
    const knocker = scene.knocker(name, index)
    return { room, knocker, event: knockOn(room, knocker, prevEvents) }
  })
}

/** The requests that bring such knocks. */
export function sendKnockRequests(scene: Scene, ...knocks: KnocksInTurn): readonly string[] {
  return requestsOf(scene, knocksInTurn(scene, ...knocks))
}

type KnocksInTurn = Parameters<typeof knocksInTurn> extends [Scene, ...infer Rest] ? Rest : never

export function requestsOf({ here }: Scene, knocks: readonly RoomKnock[]): readonly string[] {
  return knocks.map((knock) => sendKnockRequest(knock, here.identity.name))
}

/** So that each of the remote servers meets each of the rooms. */
function inTurn(rooms: readonly BenchRoom[], index: number): BenchRoom {
  return rooms[Math.floor(index / REMOTES) % rooms.length] as BenchRoom
}

const SERVERS = 20

/**
 * Rooms of twenty servers. The others have names that may not be connected to (addresses for documentation): accepted
 * knocks are queued for them on disk and attempted, but receiving them is not done, nor measured, on this machine.
 */
export function roomsOfTwentyServers(rooms: number): (here: Signer) => readonly BenchRoom[] {
  const others = Array.from({ length: SERVERS - 1 }, (_, index) => createSigner(`192.0.2.${index + 1}`))
  return (here) =>
    Array.from({ length: rooms }, (_, index) => {
      return planRoom({ name: `room${index}`, here, others, members: SERVERS, tips: 1 })
    })
}
