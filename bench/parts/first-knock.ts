/** The first knock on rooms that are known to the homeserver alone: they are read while the remote waits. */
import type { Figure, Part } from '../figures.ts'
import { LoadConnection } from '../load-connection.ts'
import { createSigner, type Signer } from '../native-signing.ts'
import { startResident } from '../resident/resident.ts'
import { type BenchRoom, planRoom } from '../rooms.ts'
import { HERE, makeKnockRequests, sendKnockRequests, setScene } from '../scene.ts'
import { startService } from '../service.ts'
import { median } from '../statistics.ts'
import { storedKnocks } from '../stored-rows.ts'

const ROOMS = 5
const MEMBERS = 10_000
const SERVERS = 200
const ANSWER_MS = 20
const AIM_MS = 2_000

export const firstKnockPart: Part = { name: 'first_knock', measure }

async function measure(): Promise<readonly Figure[]> {
  const resident = await startResident(HERE, ANSWER_MS)
  const scene = await setScene(() => [], resident.sections)
  const rooms = planRooms(scene.here)
  for (const room of rooms) await resident.serve(room)
  const service = await startService(scene.directory)
  await resident.liven()
  const connection = await LoadConnection.open(scene.directory.port)
  const templates: number[] = []
  const knocks: number[] = []
  for (const [index, room] of rooms.entries()) {
    const name = `first${index}`
    const before = await resident.count()
    templates.push(await timed(connection, makeKnockRequests(scene, [room], name, 1)))
    if ((await resident.count()) === before) throw new Error('the room was known before the first knock')
    knocks.push(await timed(connection, sendKnockRequests(scene, [room], name, 1)))
  }
  connection.close()
  const stored = await storedKnocks(scene.directory.store)
  if (stored !== ROOMS) throw new Error(`${ROOMS} knocks were answered 200, ${stored} are stored`)
  await service.stop()
  scene.close()
  resident.close()
  const what = `of ${MEMBERS} members, the homeserver answering after ${ANSWER_MS} ms, median of ${ROOMS}`
  return [
    {
      key: 'first_knock_10000_members_ms',
      what: `make_knock on an unknown room ${what}`,
      value: median(templates),
      unit: 'ms',
      aim: { below: AIM_MS },
    },
    {
      key: 'first_send_knock_10000_members_ms',
      what: 'the send_knock after it, proof that the homeserver has it included',
      value: median(knocks),
      unit: 'ms',
    },
  ]
}

function planRooms(here: Signer): readonly BenchRoom[] {
  // One key signs for all of them: nobody looks at signatures that do not decide. Their names may not be connected to.
  const signer = createSigner('192.0.2.1')
  const others = Array.from({ length: SERVERS }, (_, index) => {
    return { ...signer, identity: { ...signer.identity, name: `192.0.2.${index + 1}` } }
  })
  return Array.from({ length: ROOMS }, (_, index) => {
    return planRoom({ name: `large${index}`, here, others, members: MEMBERS, tips: 1 })
  })
}

/** @returns milliseconds until the answer was there @throws Error where it is not a 200 */
async function timed(connection: LoadConnection, [request = '']: readonly string[]): Promise<number> {
  const start = performance.now()
  const { status, body } = await connection.exchange(request)
  if (status !== 200) throw new Error(`an answer was ${status}: ${body}`)
  return performance.now() - start
}
