/** The service is stopped and started under load, behind a real nginx: nobody who knocks notices. */
import { describe, expect, it, onTestFinished } from 'vitest'
import { boundSocket } from '../support/bound-socket.ts'
import type { SignedEvent } from '../support/events.ts'
import { makeKnock, sendKnock } from '../support/remote-knocker.ts'
import type { Service } from '../support/service-process.ts'
import { person } from '../support/test-room.ts'
import { expectDelivered, expectWholeBooks } from './books.ts'
import { type Crowd, gatherCrowd } from './crowd.ts'
import { startNginx } from './nginx.ts'
import { bugsIn, postgresStore, type Scene, setScene, sqliteStore } from './scene.ts'

const RESTARTS = 10
const CROWD = 6

/** Each of its members asks for a template before it knocks, as servers do. */
function gather({ room, remote, resident }: Scene, port: number): Crowd {
  const proxy = { port, identity: resident }
  const send = async (event: SignedEvent): Promise<number> => {
    const template = await makeKnock(
      proxy,
      person(String(event.pdu.sender).slice(1).split(':')[0] ?? '', remote.identity),
      room,
    )
    if (template.status !== 200) return template.status
    return (await sendKnock(proxy, remote.identity, room, event)).status
  }
  return gatherCrowd({ room, server: remote.identity, size: CROWD, send })
}

async function expectNobodyNoticed(crowd: Crowd, log: string): Promise<void> {
  await crowd.more(CROWD)
  await crowd.leave()
  expect([...crowd.answers.keys()], log).toEqual([200])
}

describe('ten restarts behind nginx, with the socket handed over as by systemd', () => {
  it.each([['one for each request'] as const, ['kept'] as const])(
    'answer nothing but 200, with connections: %s',
    async (connections) => {
      const socket = boundSocket()
      onTestFinished(() => socket.close())
      const scene = await setScene()
      const service = await scene.start({ rooms: [scene.room], socket })
      const nginx = await startNginx([socket.port], connections)
      const crowd = gather(scene, nginx.port)
      for (let restarts = 0; restarts < RESTARTS; restarts++) {
        await crowd.more(CROWD)
        expect(await service.restart()).toBe(0)
      }
      await expectNobodyNoticed(crowd, nginx.log())
      const location = (await sqliteStore()).location(service)
      const recorded = await expectWholeBooks({ location, room: scene.room, imports: 1, accepted: crowd.accepted })
      await expectDelivered(scene.neighbour, recorded)
      expect(bugsIn(service)).toEqual([])
    },
  )
})

describe('two replicas behind nginx, without sockets handed over', () => {
  async function replicas() {
    const scene = await setScene()
    const store = await postgresStore()
    const start = () => scene.start({ config: { store: store.config } })
    const services = [await start(), await start()] as const
    expect(await services[0].importRoom(scene.room)).toMatchObject({ code: 0 })
    const nginx = await startNginx(services.map(({ port }) => port))
    return { scene, store, services, nginx, crowd: gather(scene, nginx.port) }
  }

  it.each([
    ['restarted', (service: Service) => service.end()],
    ['killed', (service: Service) => service.kill()],
  ])('%s one after the other: no answer but 200', async (_how, leave) => {
    const { scene, store, services, nginx, crowd } = await replicas()
    for (let restarts = 0; restarts < 4; restarts++) {
      await crowd.more(CROWD)
      const service = services[restarts % 2] as Service
      await leave(service)
      await crowd.more(CROWD)
      await service.start()
    }
    await expectNobodyNoticed(crowd, nginx.log())
    const location = store.location(services[0])
    const recorded = await expectWholeBooks({ location, room: scene.room, imports: 1, accepted: crowd.accepted })
    await expectDelivered(scene.neighbour, recorded)
    expect(services.flatMap(bugsIn)).toEqual([])
  })
})
