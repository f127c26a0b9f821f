import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCertificateAuthority } from './certificates.ts'
import { finishEvent, idOf, KNOCKABLE_VERSIONS, redacted } from './events.ts'
import { type FakeHomeserver, startFakeHomeserver } from './fake-homeserver.ts'
import { exchange } from './http-client.ts'
import {
  authorization,
  canonical,
  createIdentity,
  type JsonRecord,
  signable,
  verifyText,
  withSignature,
} from './signing.ts'
import { buildRoom, joins, opening, person } from './test-room.ts'

// https://spec.matrix.org/latest/appendices/#cryptographic-test-vectors
const appendix = createIdentity(
  'domain',
  'ed25519:1',
  Buffer.from('YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1', 'base64'),
)

describe('the second implementation', () => {
  it.each<[JsonRecord, string]>([
    [{}, 'K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ'],
    [{ one: 1, two: 'Two' }, 'KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw'],
  ])('signs %j as the specification does', (object, signature) => {
    expect(withSignature(object, appendix).signatures).toEqual({ domain: { 'ed25519:1': signature } })
  })

  it('orders keys by code point and keeps every key', () => {
    const object = JSON.parse('{"\\ud83d\\ude00":1,"\\ufb33":2,"10":3,"9":4,"__proto__":5}') as JsonRecord
    expect(canonical(object)).toBe('{"10":3,"9":4,"__proto__":5,"\ufb33":2,"\u{1f600}":1}')
  })

  it.each(KNOCKABLE_VERSIONS)('gives an event and its redacted copy one id, version %s', (version) => {
    const draft = {
      type: 'm.room.member',
      room_id: '!r:x',
      sender: '@a:domain',
      content: { membership: 'knock', a: 1 },
    }
    const { eventId, pdu } = finishEvent(draft, version, appendix)
    expect(idOf(redacted(pdu, version), version)).toBe(eventId)
    expect(idOf({ ...pdu, content: { membership: 'join' } }, version)).not.toBe(eventId)
  })

  it.each(KNOCKABLE_VERSIONS)('builds a room whose events name each other, version %s', (version) => {
    const alice = person('alice', appendix)
    const room = buildRoom(version, alice, [...opening(alice, version), joins(person('bob', createIdentity('b')))])
    for (const [at, { pdu }] of room.timeline.entries()) {
      expect(pdu.prev_events).toEqual(at === 0 ? [] : [room.timeline[at - 1]?.eventId])
    }
    const create = room.state('m.room.create')
    expect(room.roomId === `!${create?.eventId.slice(1)}`).toBe(version === '12')
    expect(room.authEventsFor('@new:x')).toHaveLength(version === '12' ? 2 : 3)
  })
})

describe('the fake homeserver', () => {
  const authority = createCertificateAuthority()
  const sender = createIdentity('sender.example')
  let fake: FakeHomeserver
  beforeAll(async () => {
    const publicKeyOf = (server: string): Uint8Array | undefined =>
      server === sender.name ? sender.publicKey : undefined
    fake = await startFakeHomeserver({ authority, publicKeyOf, versionOf: () => '10' })
  })
  afterAll(() => fake.close())

  const getKeys = () => exchange(fake.port, { method: 'GET', path: '/_matrix/key/v2/server' }, authority.cert)
  function send(txnId: string, signer = sender, destination = fake.name) {
    const pdu = { type: 'm.room.member', room_id: '!r:x', content: {} }
    const content = { origin: sender.name, origin_server_ts: 1, pdus: [pdu] }
    const path = `/_matrix/federation/v1/send/${txnId}`
    const headers = ['authorization', authorization(signer, { method: 'PUT', uri: path, destination, content })]
    return exchange(fake.port, { method: 'PUT', path, headers, body: JSON.stringify(content) }, authority.cert)
  }

  it('publishes keys that are signed by themselves', async () => {
    const { status, body } = await getKeys()
    const signature = String(((body.signatures as JsonRecord)[fake.name] as JsonRecord)[fake.identity.keyId])
    expect(status).toBe(200)
    expect(verifyText(signable(body), signature, fake.identity.publicKey)).toBe(true)
  })

  it('takes a transaction once, and complains of forged and misdirected ones', async () => {
    expect((await send('one')).status).toBe(200)
    expect((await send('one')).status).toBe(200)
    expect(fake.received).toHaveLength(1)
    expect(fake.complaints).toEqual([])
    expect((await send('two', createIdentity(sender.name, sender.keyId))).status).toBe(401)
    expect((await send('three', sender, 'elsewhere')).status).toBe(401)
    expect((await send('four', createIdentity('stranger.example'))).status).toBe(401)
    expect(fake.received).toHaveLength(1)
    expect(fake.complaints).toHaveLength(3)
  })

  it('misbehaves as it is told', async () => {
    fake.keys = 'error'
    expect((await getKeys()).status).toBe(500)
    fake.keys = 'redirect-to-metadata'
    expect((await getKeys()).headers.location).toContain('169.254.169.254')
    fake.keys = 'huge'
    expect((await getKeys()).text.length).toBeGreaterThan(50_000_000)
    fake.transactions = 'error'
    expect((await send('five')).status).toBe(500)
  })
})
