/** Two replicas take knocks on one room at the very same time: what they make of it is one line of revisions. */
import { describe, expect, it } from 'vitest'
import type { SignedEvent } from '../support/events.ts'
import { knockEvent, makeKnock, sendKnock } from '../support/remote-knocker.ts'
import type { Service } from '../support/service-process.ts'
import type { JsonRecord } from '../support/signing.ts'
import { person } from '../support/test-room.ts'
import { expectDelivered, expectWholeBooks } from './books.ts'
import { bugsIn, postgresStore, setScene } from './scene.ts'

const USERS = 200
const KNOCKS_OF_ONE = 20

async function twoReplicas() {
  const scene = await setScene()
  const store = await postgresStore()
  const start = () => scene.start({ config: { store: store.config } })
  const services = [await start(), await start()] as const
  expect(await services[0].importRoom(scene.room)).toMatchObject({ code: 0 })
  return { ...scene, store, services }
}

/** Sends all at once, to one and the other in turn. @returns the user of each event */
async function sendAll(
  { room, remote, services }: Awaited<ReturnType<typeof twoReplicas>>,
  events: readonly SignedEvent[],
): Promise<ReadonlyMap<string, string>> {
  const answers = await Promise.all(
    events.map((event, at) => sendKnock(services[at % 2] as Service, remote.identity, room, event)),
  )
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
  return new Map(events.map(({ eventId, pdu }) => [eventId, String(pdu.sender)]))
}

describe('two replicas that are knocked at, at once', () => {
  it(`by ${USERS} users on one room: a revision and an extremity for each, the same seen from both`, async () => {
    const stage = await twoReplicas()
    const { room, remote, neighbour, services, store } = stage
    const users = Array.from({ length: USERS }, (_, at) => person(`user${at}`, remote.identity))
    const accepted = await sendAll(
      stage,
      users.map((user) => knockEvent(room, user)),
    )
    const location = store.location(services[0])
    await expectDelivered(neighbour, await expectWholeBooks({ location, room, imports: 1, accepted }))
    const shown = await Promise.all(services.map((service) => service.command('rooms', 'show', room.roomId, '--json')))
    expect(shown[0]?.stdout).toBe(shown[1]?.stdout)
    expect(JSON.parse(shown[0]?.stdout ?? '')).toMatchObject({ revision: 1 + USERS, extremities: USERS })
    const late = person('late', remote.identity)
    const templates = await Promise.all(services.map((service) => makeKnock(service, late, room)))
    const [first, second] = templates.map(({ body }) => (body.event as JsonRecord).prev_events as readonly string[])
    expect(first).toHaveLength(10)
    expect([...(second ?? [])].sort()).toEqual([...(first ?? [])].sort())
    expect(services.flatMap(bugsIn)).toEqual([])
  })

  it(`${KNOCKS_OF_ONE} times by one user, with an event of its own each time: all in one line, the last one counts`, async () => {
    const stage = await twoReplicas()
    const { room, remote, neighbour, services, store } = stage
    const user = person('eager', remote.identity)
    const events = Array.from({ length: KNOCKS_OF_ONE }, (_, at) =>
      knockEvent(room, user, { content: { membership: 'knock', reason: `${at}` } }),
    )
    const accepted = await sendAll(stage, events)
    const location = store.location(services[0])
    const recorded = await expectWholeBooks({ location, room, imports: 1, accepted })
    expect(recorded).toHaveLength(KNOCKS_OF_ONE)
    await expectDelivered(neighbour, recorded)
    expect(services.flatMap(bugsIn)).toEqual([])
  })

  it('with the same event at both: recorded once', async () => {
    const stage = await twoReplicas()
    const { room, remote, neighbour, services, store } = stage
    const events = Array.from({ length: 40 }, (_, at) => knockEvent(room, person(`twin${at}`, remote.identity)))
    const accepted = await sendAll(
      stage,
      events.flatMap((event) => [event, event]),
    )
    const location = store.location(services[0])
    const recorded = await expectWholeBooks({ location, room, imports: 1, accepted })
    expect(recorded).toHaveLength(events.length)
    await expectDelivered(neighbour, recorded)
  })
})
