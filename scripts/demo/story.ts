/**
 * The demo: a service, a room with a member on another homeserver, and remote servers that knock on it.
 * Every process and socket is real; only the homeservers around the service are stand-ins.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCertificateAuthority, LOOPBACK_NAMES } from '../../test/support/certificates.ts'
import { type FakeHomeserver, startFakeHomeserver } from '../../test/support/fake-homeserver.ts'
import { knockEvent, sendKnock } from '../../test/support/remote-knocker.ts'
import { type Finished, freePorts, runProgram, type Service, startService } from '../../test/support/service-process.ts'
import { createIdentity, type Identity, signingKeyLine } from '../../test/support/signing.ts'
import { bans, buildRoom, joins, opening, person, sets, type TestRoom } from '../../test/support/test-room.ts'
import { expect, quote, say, step, tell, type Undo } from './telling.ts'

const DELIVERED_WITHIN_MS = 10_000

interface Stage {
  readonly service: Service
  readonly neighbour: FakeHomeserver
  readonly room: TestRoom
  readonly remote: Identity
  readonly remotePort: number
  readonly sparePort: number
  readonly files: string
}

async function play(undo: Undo): Promise<void> {
  const stage = await setTheStage(undo)
  await accepted(stage)
  await refused(stage)
  await forgedEvent(stage)
  await recorded(stage)
}

async function setTheStage(undo: Undo): Promise<Stage> {
  const authority = createCertificateAuthority()
  const files = await mkdtemp(join(tmpdir(), 'matrix-knock-demo-'))
  undo.push(() => rm(files, { recursive: true, force: true }))
  const resident = createIdentity('resident.example', 'ed25519:a_1')
  const neighbour = await startFakeHomeserver({
    authority,
    host: 'localhost',
    publicKeyOf: (server, keyId) =>
      server === resident.name && keyId === resident.keyId ? resident.publicKey : undefined,
    versionOf: () => '11',
  })
  undo.push(() => neighbour.close())
  const [remotePort = 0, sparePort = 0] = await freePorts(2)
  const remote = createIdentity(`127.0.0.1:${remotePort}`, 'ed25519:k_1')
  const alice = person('alice', resident)
  const bob = person('bob', neighbour.identity)
  const mallory = person('mallory', remote)
  const story = [
    ...opening(alice, '11'),
    sets(alice, 'm.room.name', { name: 'Garden' }),
    joins(bob),
    bans(alice, mallory),
  ]
  const room = buildRoom('11', alice, story, { localpart: 'garden' })
  const certificate = authority.issue(LOOPBACK_NAMES)
  await writeFile(join(files, 'cert.pem'), certificate.cert)
  await writeFile(join(files, 'key.pem'), certificate.key, { mode: 0o600 })
  await writeFile(join(files, 'signing.key'), signingKeyLine(remote), { mode: 0o600 })

  step('A room', `Alice of ${resident.name} made the room ${room.roomId} (version 11), where people may knock.`)
  say(`   Bob of ${neighbour.name}, a second homeserver, has joined it. Mallory of ${remote.name} is banned.`)
  const service = await startService({ identity: resident, ca: authority.cert, rooms: [room] })
  undo.push(async () => {
    const code = await service.stop()
    expect(code === 0, `the service stopped with exit code ${code}`)
  })
  step('The service', `matrix-knock answers for ${resident.name} at http://127.0.0.1:${service.port}, on SQLite.`)
  say('   The signed room was imported: every hash, id and signature in it was checked.')
  return { service, neighbour, room, remote, remotePort, sparePort, files }
}

/** Kim knocks, and Bob's homeserver hears of it. */
async function accepted(stage: Stage): Promise<void> {
  const { neighbour, remote } = stage
  step(
    'Kim knocks',
    `A remote homeserver, ${remote.name}, knocks for its user Kim. Accepted: nothing speaks against it.`,
  )
  const kim = await knock(stage, { user: `@kim:${remote.name}`, extra: ['--reason', 'I bring seeds'] })
  expect(kim.code === 0, 'the knock was accepted (exit code 0)')

  step('Bob hears it', `The knock is sent to the other homeserver in the room, ${neighbour.name}, signed by ours.`)
  const eventId = /^event +(\$[\w-]{43})/m.exec(kim.stdout)?.[1] ?? ''
  const deadline = Date.now() + DELIVERED_WITHIN_MS
  const arrived = (): boolean => neighbour.received.some(({ eventIds }) => eventIds.includes(eventId))
  while (!arrived() && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50))
  for (const { txnId, origin } of neighbour.received) say(`   | transaction ${txnId} from ${origin}`)
  for (const complaint of neighbour.complaints) say(`   | ${complaint}`)
  expect(arrived() && neighbour.complaints.length === 0, `it received ${eventId}, and the signature holds`)
}

/** Three knocks that must not be accepted, each for its own reason. */
async function refused(stage: Stage): Promise<void> {
  const { neighbour, remote, sparePort } = stage
  step('Mallory knocks', 'Mallory is banned, so the authorisation rules refuse the knock.')
  const mallory = await knock(stage, { user: `@mallory:${remote.name}` })
  expect(isRefusal(mallory, '403 M_FORBIDDEN'), 'refused with 403 M_FORBIDDEN')

  step('Lee offers the wrong version', 'Lee’s homeserver knows room version 7 only; this room is version 11.')
  const lee = await knock(stage, { user: `@lee:${remote.name}`, extra: ['--ver', '7'] })
  expect(isRefusal(lee, '400 M_INCOMPATIBLE_ROOM_VERSION'), 'refused with 400 M_INCOMPATIBLE_ROOM_VERSION')

  step('A forged request', `Someone claims to be ${neighbour.name}, and signs with a key that is not that server’s.`)
  const forged = signingKeyLine({ ...createIdentity(neighbour.name), keyId: neighbour.identity.keyId })
  await writeFile(join(stage.files, 'forged.key'), forged, { mode: 0o600 })
  const forger = await knock(stage, {
    user: `@carol:${neighbour.name}`,
    serverName: neighbour.name,
    signingKey: 'forged.key',
    port: sparePort,
    extra: ['--destination', stage.service.identity.name],
  })
  expect(isRefusal(forger, '401 M_UNAUTHORIZED'), 'refused with 401 M_UNAUTHORIZED')
}

/** A request that is genuine, with a knock in it that is not. */
async function forgedEvent({ service, room, neighbour }: Stage): Promise<void> {
  const { name } = neighbour
  step('A forged event', `${name} itself sends a knock for its user Dan, but the event is signed with another key.`)
  const stranger = createIdentity(name, neighbour.identity.keyId)
  const event = knockEvent(room, person('dan', stranger))
  const { status, body } = await sendKnock(service, neighbour.identity, room, event)
  say(`   | send_knock ${status} ${body.errcode}: ${body.error}`)
  expect(status === 400 && body.errcode === 'M_INVALID_PARAM', 'refused with 400 M_INVALID_PARAM')
}

/** What the operator can look up afterwards. */
async function recorded({ service }: Stage): Promise<void> {
  step('The record', 'The operator can look up what was decided and by which rule (matrix-knock knocks list).')
  const list = await service.command('knocks', 'list')
  quote(list.stdout)
  expect(list.code === 0 && list.stdout.includes('@kim:'), 'Kim’s knock is on record')
}

interface KnockOrder {
  readonly user: string
  readonly serverName?: string
  readonly signingKey?: string
  readonly port?: number
  readonly extra?: readonly string[]
}

/** Runs `matrix-knock knock` as the remote homeserver and shows what it prints. */
async function knock(
  { service, room, remote, remotePort, files }: Stage,
  { user, serverName = remote.name, signingKey = 'signing.key', port = remotePort, extra = [] }: KnockOrder,
): Promise<Finished> {
  const options = ['--via', `http://127.0.0.1:${service.port}`, '--room', room.roomId, '--user', user]
  const identity = ['--server-name', serverName, '--signing-key', join(files, signingKey)]
  const tls = ['--tls-cert', join(files, 'cert.pem'), '--tls-key', join(files, 'key.pem')]
  say(`   $ matrix-knock knock ${[...options.slice(2), ...extra].join(' ')} …`)
  const finished = await runProgram([
    'knock',
    ...options,
    ...identity,
    '--listen',
    `127.0.0.1:${port}`,
    ...tls,
    ...extra,
  ])
  quote(finished.stdout + finished.stderr)
  return finished
}

function isRefusal({ code, stdout }: Finished, answer: string): boolean {
  return code === 1 && stdout.includes(answer)
}

await tell(play)
