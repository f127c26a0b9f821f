/** What honest servers wait for while an authentic one asks for rooms that it has invented, beside a homeserver with limits. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Figure, Part } from '../figures.ts'
import { type Sender, startSender } from '../hostile/sender.ts'
import type { SentReport } from '../hostile/sender-process.ts'
import { startResident } from '../resident/resident.ts'
import { type BenchRoom, makeKnockRequest, planRoom } from '../rooms.ts'
import { HERE, type Scene, setScene } from '../scene.ts'
import { startService } from '../service.ts'
import { quantile } from '../statistics.ts'

const ANSWER_MS = 20
/** Fifty requests a second, with the waits of Synapse's defaults. */
const LIMIT = { freely: 10, sleepMs: 500, most: 50 }
const SECONDS = 20
const INVENTED_PER_SECOND = 50
/** The attack has filled what it fills before anybody else comes. */
const AHEAD_MS = 4_000
const KNOWN = { rooms: 8, requests: 120, perSecond: 8 }
const UNREAD = { rooms: 30, perSecond: 2 }
const MEMBERS = 20
/** What is not answered 200 by then counts as much. */
const WITHIN_MS = 10_000
/** Who attacks does not wait for answers. */
const ATTACKER_MS = 5_000

export const hostileRoomsPart: Part = { name: 'hostile_rooms', measure }

async function measure(): Promise<readonly Figure[]> {
  const resident = await startResident(HERE, ANSWER_MS, LIMIT)
  const scene = await setScene(() => [], resident.sections)
  const plan = (name: string, count: number): readonly BenchRoom[] =>
    Array.from({ length: count }, (_, index) =>
      planRoom({ name: `${name}${index}`, here: scene.here, others: [scene.here], members: MEMBERS, tips: 1 }),
    )
  const [known, unread, quietly] = [plan('known', KNOWN.rooms), plan('unread', UNREAD.rooms), plan('quiet', 10)]
  for (const room of [...known, ...unread, ...quietly]) await resident.serve(room)
  const service = await startService(scene.directory)
  await resident.liven()
  const senders = [startSender(), startSender(), startSender()] as const
  const [attacker, first, second] = senders
  const { port } = scene.directory

  // Slowly, so that the homeserver's limit is in nobody's way.
  await ask(first, scene, known, known.length, UNREAD.perSecond)
  const quiet = await ask(first, scene, quietly, quietly.length, UNREAD.perSecond)
  const attack = attacker.send({ port, heads: invented(scene), perSecond: INVENTED_PER_SECOND, withinMs: ATTACKER_MS })
  await pause(AHEAD_MS)
  const [atKnown, atUnread] = await Promise.all([
    ask(first, scene, known, KNOWN.requests, KNOWN.perSecond),
    ask(second, scene, unread, unread.length, UNREAD.perSecond),
  ])
  const { answers } = await attack
  if (answers.some(({ status }) => status === 200)) throw new Error('an invented room was answered 200')
  await service.kill()
  for (const one of [...senders, scene, resident]) one.close()
  const under = `under ${INVENTED_PER_SECOND} invented rooms a second by one authentic server`
  return [
    {
      key: 'hostile_known_p99_ms',
      what: `make_knock on a known room ${under}`,
      ...{ value: p99(atKnown), unit: 'ms', aim: { atMost: 1_000 } },
    },
    { key: 'hostile_known_ok', what: 'of these answered 200', value: share(atKnown), unit: '' },
    {
      key: 'hostile_unread_p99_ms',
      what: `make_knock on a room that was not read yet ${under}`,
      ...{ value: p99(atUnread), unit: 'ms', aim: { atMost: 3_000 } },
    },
    { key: 'hostile_unread_ok', what: 'of these answered 200', value: share(atUnread), unit: '' },
    {
      key: 'hostile_unread_quiet_p99_ms',
      what: 'make_knock on a room that was not read yet, while nobody attacks',
      ...{ value: p99(quiet), unit: 'ms' },
    },
  ]
}

/** All of one server, each of a user and for a room of its own. */
function invented({ knocker }: Scene): readonly string[] {
  const { server } = knocker('nobody', 0)
  return Array.from({ length: SECONDS * INVENTED_PER_SECOND }, (_, index) => {
    const room = { roomId: `!invented${index}:${HERE}` } as BenchRoom
    return makeKnockRequest(room, { userId: `@nobody${index}:${server.identity.name}`, server }, HERE)
  })
}

/** Asks for templates by users of the other servers, each of the rooms in turn. */
function ask(sender: Sender, scene: Scene, rooms: readonly BenchRoom[], count: number, perSecond: number) {
  const heads = Array.from({ length: count }, (_, index) => {
    // The first of them attacks.
    const knocker = scene.knocker('honest', (index % 7) + 1)
    return makeKnockRequest(rooms[index % rooms.length] as BenchRoom, knocker, HERE)
  })
  return sender.send({ port: scene.directory.port, heads, perSecond, withinMs: WITHIN_MS })
}

function p99({ answers }: SentReport): number {
  const waits = answers.map(({ status, ms }) => (status === 200 ? ms : WITHIN_MS))
  return quantile(
    waits.sort((left, right) => left - right),
    0.99,
  )
}

function share({ answers }: SentReport): number {
  return answers.filter(({ status }) => status === 200).length / answers.length
}
