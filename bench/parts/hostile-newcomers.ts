/** Whether servers that knock here for the first time are served while strangers have the keys of invented names looked up. */
import type { Figure, Part } from '../figures.ts'
import { forgedQuestion } from '../hostile/bodies.ts'
import { cameFrom, type Sender, startSender } from '../hostile/sender.ts'
import { serversNamed, startWorld } from '../hostile/world.ts'
import { createSigner, type Signer } from '../native-signing.ts'
import { type BenchRoom, makeKnockRequest, planRoom } from '../rooms.ts'
import { HERE, type Scene, setScene } from '../scene.ts'
import { startService } from '../service.ts'

const SECONDS = 16
const FORGED_PER_SECOND = 100
/** Addresses from which they come. */
const ATTACKERS = ['198.51.100.1', '198.51.100.2', '198.51.100.3']
const NEWCOMERS = { perSecond: 4, withinMs: 5_000 }
/** Before and beside the attack, as many: those that nobody is in the way of. */
const NEWCOMERS_EACH = 40
/** The attack has filled what it fills before the first of them comes. */
const AHEAD_MS = 5_000
/** Invented names of each kind. */
const INVENTED = 700

export const hostileNewcomersPart: Part = { name: 'hostile_newcomers', measure }

async function measure(): Promise<readonly Figure[]> {
  const servers = serversNamed('new', 1, 2 * NEWCOMERS_EACH)
  const named = (kind: string) => Array.from({ length: INVENTED }, (_, index) => `${kind}${index}.example.test`)
  const [hanging, refusing] = [named('hang'), named('refuse')]
  const services = hanging.flatMap((name) => [`_matrix-fed._tcp.${name}`, `_matrix._tcp.${name}`])
  const silent = serversNamed('silent', 2, INVENTED).map(({ address }) => address)
  const world = await startWorld({
    servers,
    silent,
    zones: Object.fromEntries([
      ...[...hanging, ...services].map((name) => [name, 'hang'] as const),
      // Nobody listens there.
      ...refusing.map((name, index) => [name, { addresses: [`127.3.${index >> 8}.${index & 255 || 1}`] }] as const),
    ]),
  })
  const scene = await setScene((here) => [planRoom({ name: 'knockable', here, others: [here], members: 1, tips: 1 })], {
    ...world.sections,
    listen: { trust_proxy: ['127.0.0.1/32'] },
  })
  const newcomers = servers.map(({ host }) => createSigner(`${host}:${world.place.port}`))
  await world.publish(newcomers.map(({ identity }) => identity))
  const literals = silent.map((address) => `${address}:${world.place.silentPort}`)
  const forged = Array.from({ length: SECONDS * FORGED_PER_SECOND }, (_, index) => {
    const origin = [hanging, refusing, literals][index % 3]?.[Math.floor(index / 3) % INVENTED] ?? ''
    return cameFrom(ATTACKERS[index % ATTACKERS.length] ?? '', forgedQuestion(origin, HERE, index))
  })
  const figures = await served(scene, newcomers, forged)
  scene.close()
  world.close()
  return figures
}

async function served(scene: Scene, newcomers: readonly Signer[], forged: readonly string[]) {
  const [attackers, honest] = [startSender(), startSender()]
  const service = await startService(scene.directory)
  const { port } = scene.directory
  const quiet = await knock(honest, scene, newcomers.slice(0, NEWCOMERS_EACH))
  const attack = attackers.send({ port, heads: forged, perSecond: FORGED_PER_SECOND, withinMs: 5_000 })
  await new Promise((resolve) => setTimeout(resolve, AHEAD_MS))
  const pressed = await knock(honest, scene, newcomers.slice(NEWCOMERS_EACH))
  const { answers } = await attack
  if (answers.some(({ status }) => status === 200)) throw new Error('a forged request was answered 200')
  await service.kill()
  for (const sender of [attackers, honest]) sender.close()
  const each = `of ${NEWCOMERS_EACH} servers, each with a key server of its own`
  return [
    {
      key: 'hostile_newcomer_ok',
      what: `first knocks ${each}, answered 200 within 5 s under ${FORGED_PER_SECOND} forged requests a second`,
      value: pressed,
      unit: '',
      aim: { atLeast: 0.95 },
    },
    { key: 'hostile_newcomer_quiet_ok', what: 'the same while nobody attacks', value: quiet, unit: '' },
  ] satisfies readonly Figure[]
}

/** The share that was answered 200 in time. */
async function knock(sender: Sender, scene: Scene, newcomers: readonly Signer[]): Promise<number> {
  const room = scene.rooms[0] as BenchRoom
  const heads = newcomers.map((server, index) => {
    const request = makeKnockRequest(room, { userId: `@new:${server.identity.name}`, server }, HERE)
    return cameFrom(`203.0.113.${index + 1}`, request)
  })
  const { answers } = await sender.send({ port: scene.directory.port, heads, ...NEWCOMERS })
  return answers.filter(({ status }) => status === 200).length / answers.length
}
