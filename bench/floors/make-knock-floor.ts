/** The floor of make_knock: X-Matrix read, the signed object canonicalised, one verification, a constant template. */
import { canonical, createFloorApp, keyTable, readClaim, serveFloor, verifies } from './floor-app.ts'

const TEMPLATE = JSON.stringify({
  room_version: '11',
  event: {
    type: 'm.room.member',
    room_id: '!some-room:here.bench.test',
    sender: '@somebody:remote.bench.test',
    state_key: '@somebody:remote.bench.test',
    content: { membership: 'knock' },
    origin: 'here.bench.test',
    origin_server_ts: 1_700_000_000_000,
    depth: 30,
    prev_events: [`$${'p'.repeat(43)}`],
    auth_events: ['a', 'b', 'c'].map((letter) => `$${letter.repeat(43)}`),
  },
})

serveFloor((start) => {
  const keys = keyTable(start)
  const app = createFloorApp()
  app.get('/_matrix/federation/v1/make_knock/:roomId/:userId', async (request, reply) => {
    const claim = readClaim(request.headers.authorization, keys)
    if (claim === undefined) return reply.code(401).send()
    const { origin, destination, key, signature } = claim
    const text = canonical({ method: 'GET', uri: request.raw.url, origin, destination })
    if (!(await verifies(key, text, signature))) return reply.code(401).send()
    reply.header('content-type', 'application/json; charset=utf-8')
    return TEMPLATE
  })
  return app
})
