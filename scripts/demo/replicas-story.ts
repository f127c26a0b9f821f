/**
 * The demo of replicas: three processes on one PostgreSQL behind a round robin, remote users that knock all the time,
 * one replica that is killed, and one that is added. Every process and socket is real; only the homeservers around the
 * replicas are stand-ins.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { type CertificateAuthority, createCertificateAuthority } from '../../test/support/certificates.ts'
import { type FakeHomeserver, startFakeHomeserver } from '../../test/support/fake-homeserver.ts'
import { type PostgresServer, startPostgres } from '../../test/support/postgres-server.ts'
import { knockEvent } from '../../test/support/remote-knocker.ts'
import { createRoundRobin, type RoundRobin } from '../../test/support/round-robin.ts'
import { NO_LIMITS, type Service, startService } from '../../test/support/service-process.ts'
import { createIdentity, type Identity } from '../../test/support/signing.ts'
import { buildRoom, joinRule, joins, opening, person, type TestRoom } from '../../test/support/test-room.ts'
import { expect, quote, say, step, tell, type Undo } from './telling.ts'

const REPLICAS = 3
const KNOCKERS = 4
const KNOCKS_BETWEEN = 40
/** What a dead replica was delivering is taken over ten seconds after its last sign of life. */
const DELIVERED_WITHIN_MS = 30_000
const ANSWERED_WITHIN_MS = 20_000

interface Stage {
  readonly resident: Identity
  readonly authority: CertificateAuthority
  readonly remotes: readonly FakeHomeserver[]
  readonly neighbour: FakeHomeserver
  readonly room: TestRoom
  readonly database: PostgresServer
  /** Those that the round robin knows. */
  readonly replicas: Service[]
  readonly undo: Undo
}

/** People who knock all the time, one after the other. */
interface Knocking {
  /** Ids of the events that were answered 200. */
  readonly accepted: ReadonlySet<string>
  /** How many knocks each port has answered since the last call. */
  turns(): ReadonlyMap<number, number>
  /** Waits for so many more. */
  more(count: number): Promise<void>
  end(): Promise<void>
}

async function play(undo: Undo): Promise<void> {
  const stage = await setTheStage(undo)
  const knocking = await knocksBegin(stage)
  await oneIsKilled(stage, knocking)
  await oneIsAdded(stage, knocking)
  await knocking.end()
  await recorded(stage, knocking)
  await received(stage, knocking)
}

async function setTheStage(undo: Undo): Promise<Stage> {
  const authority = createCertificateAuthority()
  const resident = createIdentity('resident.example', 'ed25519:a_1')
  const publicKeyOf = (server: string, keyId: string) =>
    server === resident.name && keyId === resident.keyId ? resident.publicKey : undefined
  const start = async (host: '127.0.0.1' | 'localhost'): Promise<FakeHomeserver> => {
    const homeserver = await startFakeHomeserver({ authority, host, publicKeyOf, versionOf: () => '11' })
    undo.push(() => homeserver.close())
    return homeserver
  }
  const neighbour = await start('localhost')
  const remotes = [await start('127.0.0.1'), await start('127.0.0.1')]
  const alice = person('alice', resident)
  const story = [...opening(alice, '11', 'public'), joins(person('bob', neighbour.identity)), joinRule(alice, 'knock')]
  const room = buildRoom('11', alice, story, { localpart: 'garden' })

  step('A database', 'One PostgreSQL server, with nothing in it.')
  const database = await startPostgres({ fsync: 'on', synchronous_commit: 'on' })
  undo.push(() => database.remove())
  say(`   It listens on 127.0.0.1:${database.port}, and syncs each commit to disk.`)

  const stage: Stage = { resident, authority, remotes, neighbour, room, database, replicas: [], undo }
  step('Three replicas', `Each is a process of its own for ${resident.name}, and makes the tables if nobody has.`)
  await Promise.all(Array.from({ length: REPLICAS }, () => addReplica(stage)))
  for (const { port } of stage.replicas) say(`   matrix-knock at http://127.0.0.1:${port}`)

  step('A room', `Alice made ${room.roomId}; Bob of ${neighbour.name}, a second homeserver, has joined it.`)
  const imported = await stage.replicas[0]?.importRoom(room)
  expect(imported?.code === 0, 'one import is enough: all three read the same database')
  return stage
}

async function addReplica({ resident, authority, database, replicas, undo }: Stage): Promise<Service> {
  const store = { kind: 'postgres', url: database.url, pool_size: 4 }
  // So many knocks in so short a time are an attack elsewhere.
  const config = { store, log: { level: 'warn' }, limits: NO_LIMITS }
  const service = await startService({ identity: resident, ca: authority.cert, rooms: [], config })
  undo.push(() => service.stop())
  replicas.push(service)
  return service
}

async function knocksBegin(stage: Stage): Promise<Knocking> {
  step(
    'People knock',
    `Users of two remote homeservers, ${KNOCKERS} at a time. A round robin sends each knock to the next replica.`,
  )
  const knocking = startKnocking(stage, createRoundRobin(stage.replicas))
  await knocking.more(KNOCKS_BETWEEN)
  showTurns(knocking)
  return knocking
}

async function oneIsKilled({ replicas }: Stage, knocking: Knocking): Promise<void> {
  const victim = replicas[1] as Service
  step('One is killed', `kill -9 for the replica at port ${victim.port}, while people go on knocking.`)
  await victim.kill()
  say('   Where it does not answer, the round robin gives the same knock to the next one.')
  await knocking.more(KNOCKS_BETWEEN)
  showTurns(knocking)
  replicas.splice(replicas.indexOf(victim), 1)
}

async function oneIsAdded(stage: Stage, knocking: Knocking): Promise<void> {
  step('One is added', 'A fourth process, on the same database. Nobody else is told but the round robin.')
  const fresh = await addReplica(stage)
  knocking.turns()
  await knocking.more(KNOCKS_BETWEEN)
  const turns = knocking.turns()
  quoteTurns(turns)
  expect((turns.get(fresh.port) ?? 0) > 0, `the new one at port ${fresh.port} answers`)
}

async function recorded({ replicas: [replica], room }: Stage, { accepted }: Knocking): Promise<void> {
  step(
    'The record',
    `${accepted.size} knocks were answered 200. What does the database say (matrix-knock knocks list)?`,
  )
  const list = await replica?.command('knocks', 'list', '--room', room.roomId, '--limit', '100000', '--json')
  const decisions = JSON.parse(list?.stdout ?? '[]') as { outcome: string; endpoint: string; event_id: string }[]
  const kept = decisions.filter(({ outcome, endpoint }) => outcome === 'accepted' && endpoint === 'send_knock')
  const ids = new Set(kept.map((decision) => decision.event_id))
  expect(kept.length === ids.size, `none of the ${kept.length} recorded knocks is there twice`)
  expect(
    [...accepted].every((id) => ids.has(id)),
    'none that was answered 200 is missing',
  )
  const show = await replica?.command('rooms', 'show', room.roomId)
  quote(show?.stdout ?? '')
  const revision = /^revision +(\d+)/m.exec(show?.stdout ?? '')?.[1]
  expect(
    revision === String(1 + ids.size),
    `the room's revision is ${revision}: one for the import, one for each knock`,
  )
}

async function received({ neighbour }: Stage, { accepted }: Knocking): Promise<void> {
  step(
    'Bob hears it',
    `The knocks are sent to ${neighbour.name} by whichever replica has it in hand; never by two at once.`,
  )
  const arrived = (): readonly string[] => neighbour.received.flatMap(({ eventIds }) => eventIds)
  const isMissing = (): boolean => {
    const there = new Set(arrived())
    return [...accepted].some((id) => !there.has(id))
  }
  const deadline = Date.now() + DELIVERED_WITHIN_MS
  while (isMissing() && Date.now() < deadline) await pause(50)
  say(`   ${neighbour.received.length} transactions came, with ${arrived().length} events.`)
  expect(!isMissing(), `it received all ${accepted.size}`)
  expect(new Set(arrived()).size === arrived().length, 'no event came in two transactions')
  for (const complaint of neighbour.complaints) say(`   | ${complaint}`)
  expect(neighbour.complaints.length === 0, 'and every signature holds')
}

function startKnocking({ remotes, room }: Stage, balancer: RoundRobin): Knocking {
  const accepted = new Set<string>()
  let turns = new Map<number, number>()
  let ending = false
  const knockOn = async (knocker: number): Promise<void> => {
    const { identity } = remotes[knocker % remotes.length] as FakeHomeserver
    for (let count = 0; !ending; count++) {
      const event = knockEvent(room, person(`user${knocker}-${count}`, identity))
      const { status, body, port } = await balancer.knock(identity, room, event)
      if (status !== 200) throw new Error(`a knock was answered ${status} ${body.error}`)
      accepted.add(event.eventId)
      turns.set(port, (turns.get(port) ?? 0) + 1)
    }
  }
  const all = Promise.all(Array.from({ length: KNOCKERS }, (_, knocker) => knockOn(knocker)))
  // It is told where somebody waits for them.
  all.catch(() => undefined)
  return {
    accepted,
    turns() {
      const counted = turns
      turns = new Map()
      return counted
    },
    async more(count) {
      const wanted = accepted.size + count
      const deadline = Date.now() + ANSWERED_WITHIN_MS
      while (accepted.size < wanted) {
        if (Date.now() > deadline) throw new Error(`${count} knocks were not answered in ${ANSWERED_WITHIN_MS} ms`)
        await Promise.race([pause(20), all])
      }
    },
    async end() {
      ending = true
      await all
    },
  }
}

function showTurns(knocking: Knocking): void {
  quoteTurns(knocking.turns())
}

function quoteTurns(turns: ReadonlyMap<number, number>): void {
  for (const [port, count] of [...turns].sort(([left], [right]) => left - right)) {
    say(`   | port ${port} answered ${count} knocks with 200`)
  }
}

await tell(play)
