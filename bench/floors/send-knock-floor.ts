/** The floor of send_knock: two verifications, two SHA-256, one row in SQLite on disk before the answer. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { canonical, createFloorApp, keyTable, readClaim, serveFloor, verifies } from './floor-app.ts'
import { openGroupInsert } from './group-insert.ts'

type Json = Readonly<Record<string, unknown>>

const ANSWER = JSON.stringify({
  knock_room_state: ['m.room.create', 'm.room.join_rules', 'm.room.name'].map((type) => ({
    type,
    state_key: '',
    sender: '@creator:here.bench.test',
    content: { value: 'something' },
  })),
})

/** The redacted member event without its signatures: what they and its id cover. */
function redactedText(event: Json): string {
  const { auth_events, depth, hashes, origin_server_ts, prev_events, room_id, sender, state_key, type } = event
  const content = { membership: (event.content as Json).membership }
  const kept = { auth_events, depth, hashes, origin_server_ts, prev_events, room_id, sender, state_key, type, content }
  return canonical(kept)
}

function hashedText({ hashes, signatures, unsigned, ...rest }: Json): string {
  return canonical(rest)
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function signatureBy(event: Json, server: string): Buffer {
  const [signature = ''] = Object.values((event.signatures as Record<string, Record<string, string>>)[server] ?? {})
  return Buffer.from(signature, 'base64')
}

serveFloor((start) => {
  const keys = keyTable(start)
  const insert = openGroupInsert(join(start.directory, 'floor.db'))
  const app = createFloorApp()
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    done(null, JSON.parse(body as string))
  })
  app.put('/_matrix/federation/v1/send_knock/:roomId/:eventId', async (request, reply) => {
    const claim = readClaim(request.headers.authorization, keys)
    if (claim === undefined) return reply.code(401).send()
    const { origin, destination, key, signature } = claim
    const event = request.body as Json
    const text = canonical({ method: 'PUT', uri: request.raw.url, origin, destination, content: event })
    if (!(await verifies(key, text, signature))) return reply.code(401).send()

    const { eventId } = request.params as { eventId: string }
    const redacted = redactedText(event)
    const hash = sha256(hashedText(event)).toString('base64').replace('=', '')
    if (`$${sha256(redacted).toString('base64url')}` !== eventId) return reply.code(400).send()
    if (hash !== (event.hashes as Json).sha256) return reply.code(400).send()
    if (!(await verifies(key, redacted, signatureBy(event, origin)))) return reply.code(400).send()

    await insert(eventId, canonical(event))
    reply.header('content-type', 'application/json; charset=utf-8')
    return ANSWER
  })
  return app
})
