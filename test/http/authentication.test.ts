import { afterEach, describe, expect, it } from 'vitest'
import { compileAllowedServers } from '../../src/knock/allowed-servers.ts'
import type { Answer } from '../support/http-client.ts'
import { makeKnockPath } from '../support/remote-knocker.ts'
import { base64, createIdentity, requestSignature } from '../support/signing.ts'
import { type Listener, type ListenerChanges, openListener } from './listener-fixture.ts'

let listener: Listener
afterEach(() => listener?.close())

interface Parts {
  readonly origin: string
  readonly destination: string
  readonly key: string
  readonly sig: string
}

/** A make_knock whose Authorization lines a test writes from the right parts. */
async function ask(
  write: (parts: Parts) => readonly string[],
  path = makeKnockPath(listener.room.roomId, listener.kim.id, '10'),
): Promise<Pick<Answer, 'status' | 'body'> & { readonly challenge: unknown }> {
  const { remote, resident, app } = listener
  const sig = requestSignature(remote, { method: 'GET', uri: path, destination: resident.name })
  const lines = write({ origin: remote.name, destination: resident.name, key: remote.keyId, sig })
  const answer = await app.inject({ method: 'GET', url: path, headers: { authorization: [...lines] } as never })
  return { status: answer.statusCode, body: answer.json(), challenge: answer.headers['www-authenticate'] }
}

async function open(changes?: ListenerChanges): Promise<void> {
  listener = await openListener(changes)
}

const usual = (p: Parts) => `X-Matrix origin="${p.origin}",destination="${p.destination}",key="${p.key}",sig="${p.sig}"`
const unauthorized = {
  status: 401,
  body: { errcode: 'M_UNAUTHORIZED', error: expect.any(String) },
  challenge: expect.stringMatching(/^X-Matrix( destination="resident\.example")?$/),
}
const forbidden = { status: 403, body: { errcode: 'M_FORBIDDEN', error: expect.any(String) } }
const lastFailure = () => listener.answered.at(-1)?.failure

describe('who is let in', () => {
  it.each<[string, (parts: Parts) => string]>([
    ['B3 as senders write it', usual],
    ['B3 without quotes', (p) => `X-Matrix origin=${p.origin},destination=${p.destination},key=${p.key},sig=${p.sig}`],
    ['B3 with escapes', (p) => `X-Matrix origin="${p.origin.replace('.', '\\.')}",key="${p.key}",sig="\\${p.sig}"`],
    ['B3 in a lower-case scheme', (p) => usual(p).replace('X-Matrix', 'x-matrix')],
    ['B3 with names in capitals', (p) => `X-Matrix ORIGIN="${p.origin}",KEY="${p.key}",Sig="${p.sig}"`],
    [
      'B3 in another order, with white space',
      (p) => `X-Matrix   sig="${p.sig}" ,\tkey="${p.key}" , origin=${p.origin}`,
    ],
    ['B3 with an unknown parameter', (p) => `${usual(p)},foo="a,\\"b=c"`],
    ['B4 without a destination', (p) => `X-Matrix origin="${p.origin}",key="${p.key}",sig="${p.sig}"`],
  ])('%s', async (_name, write) => {
    await open()
    expect((await ask((parts) => [write(parts)])).status).toBe(200)
    expect(listener.keys.verified).toEqual(['remote.example'])
  })

  it('B9 with five lines, a signature each', async () => {
    await open()
    expect((await ask((p) => Array<string>(5).fill(usual(p)))).status).toBe(200)
  })

  it('B9 with a second line by a key that nobody knows', async () => {
    await open()
    const unknown = (p: Parts) =>
      `X-Matrix origin="${p.origin}",destination="${p.destination}",key="ed25519:zz",sig="AA"`
    expect((await ask((p) => [usual(p), unknown(p)])).status).toBe(200)
    expect((await ask((p) => [unknown(p), usual(p)])).status).toBe(200)
    expect((await ask((p) => ['Bearer abc', usual(p)])).status).toBe(200)
  })
})

describe('who is not', () => {
  it.each<[string, string, (parts: Parts) => readonly string[]]>([
    ['B6 without a header', 'no_header', () => []],
    ['B6 with another scheme', 'no_header', () => ['Bearer abc']],
    ['B6 with the scheme alone', 'malformed_header', () => ['X-Matrix']],
    ['B6 with an open quote', 'malformed_header', (p) => [`X-Matrix origin="${p.origin},key="${p.key}",sig="${p.sig}`]],
    ['B6 with a parameter twice', 'malformed_header', (p) => [`${usual(p)},sig="${p.sig}"`]],
    ['B6 without a signature', 'malformed_header', (p) => [`X-Matrix origin="${p.origin}",key="${p.key}"`]],
    ['B6 with one good and one malformed line', 'malformed_header', (p) => [usual(p), 'X-Matrix x']],
    ['B6 with two origins', 'malformed_header', (p) => [usual(p), usual({ ...p, origin: 'other.example' })]],
    ['B6 with two destinations', 'malformed_header', (p) => [usual(p), usual(p).replace(/destination="[^"]*",/, '')]],
    ['B9 with more lines than anybody has keys', 'malformed_header', (p) => Array<string>(6).fill(usual(p))],
    ['B9 with a hundred lines', 'malformed_header', (p) => Array<string>(100).fill(usual(p))],
    ['B6 with a line of 15,000 characters', 'malformed_header', (p) => [`${usual(p)},x="${'y'.repeat(15_000)}"`]],
    [
      'B6 with thousands of parameters',
      'malformed_header',
      (p) => [`${usual(p)},${Array.from({ length: 2_000 }, (_, at) => `p${at}=1`).join(',')}`],
    ],
    ['B5 for another server', 'wrong_destination', (p) => [usual({ ...p, destination: 'other.example' })]],
    ['B5 for us in capitals', 'wrong_destination', (p) => [usual({ ...p, destination: 'RESIDENT.example' })]],
    ['B5 for nobody', 'wrong_destination', (p) => [usual({ ...p, destination: '' })]],
    ['B6 with an unknown key', 'unknown_key', (p) => [usual({ ...p, key: 'ed25519:other' })]],
    ['B6 with a key of another algorithm', 'unknown_key', (p) => [usual({ ...p, key: 'rsa:t_1' })]],
    ['B6 with a server that has no keys', 'unknown_key', (p) => [usual({ ...p, origin: 'other.example' })]],
    ['B6 with a short signature', 'wrong_signature', (p) => [usual({ ...p, sig: p.sig.slice(0, 80) })]],
    ['B6 with no base64', 'wrong_signature', (p) => [usual({ ...p, sig: '*'.repeat(86) })]],
    ['B6 with the URL-safe alphabet', 'wrong_signature', (p) => [usual({ ...p, sig: `-_${p.sig.slice(2)}` })]],
    ['B6 with another signature', 'wrong_signature', (p) => [usual({ ...p, sig: base64(Buffer.alloc(64, 7)) })]],
    ['B9 with a wrong line by a known key', 'wrong_signature', (p) => [usual(p), usual({ ...p, sig: 'AA' })]],
  ])('%s: 401 with the reason %s', async (_name, failure, write) => {
    await open()
    expect(await ask(write)).toEqual(unauthorized)
    expect(lastFailure()).toBe(failure)
    expect(listener.keys.verified).toEqual([])
  })

  it('B6 a wrong key, an old key and one that is missing from the answer', async () => {
    await open()
    const { remote, keys } = listener
    const stranger = createIdentity('stranger.example', remote.keyId)
    keys.know(stranger)
    expect(await ask((p) => [usual({ ...p, origin: stranger.name })])).toEqual(unauthorized)
    expect(lastFailure()).toBe('wrong_signature')
    keys.know({ ...remote, name: 'retired.example' }, { old: true })
    expect(await ask((p) => [usual({ ...p, origin: 'retired.example' })])).toEqual(unauthorized)
    expect(lastFailure()).toBe('unknown_key')
  })

  it('B6 keys that cannot be had are 401 with a reason of their own', async () => {
    await open()
    listener.keys.answer('remote.example', async () => ({
      kind: 'unavailable',
      reason: 'connection refused by 10.0.0.7',
    }))
    const answer = await ask((p) => [usual(p)])
    expect(answer).toEqual(unauthorized)
    expect(lastFailure()).toBe('keys_unavailable')
    // Who chooses the name must not learn what a connection there met; the operator does.
    expect(JSON.stringify(answer)).not.toContain('10.0.0.7')
    expect(listener.answered.at(-1)?.detail).toContain('10.0.0.7')
  })

  it('B6 keys that cannot be asked for, for want of something of ours, are no 401', async () => {
    await open()
    listener.keys.answer('remote.example', async () => ({ kind: 'lacking', reason: 'EMFILE' }))
    const answer = await ask((p) => [usual(p)])
    expect(answer).toMatchObject({ status: 408, body: { errcode: 'M_UNKNOWN' } })
    expect(listener.answered.at(-1)).toMatchObject({ failure: 'own_lack', detail: 'EMFILE' })
  })

  it('B6 our own name is checked with our own key, and is 403', async () => {
    await open()
    const { resident, room } = listener
    const path = makeKnockPath(room.roomId, `@zoe:${resident.name}`, '10')
    const sig = requestSignature(resident, { method: 'GET', uri: path, destination: resident.name })
    const ours = (p: Parts) => usual({ ...p, origin: resident.name, key: resident.keyId, sig })
    expect(await ask((p) => [ours(p)], path)).toMatchObject(forbidden)
    expect(lastFailure()).toBe('own_name')
    expect(await ask((p) => [usual({ ...p, origin: resident.name, key: resident.keyId })], path)).toEqual(unauthorized)
  })

  it('a server that the operator denies is 403, and its keys are not asked for', async () => {
    await open({ allowedServers: compileAllowedServers({ allow: ['*'], deny: ['REMOTE.*'] }) })
    expect(await ask((p) => [usual(p)])).toMatchObject(forbidden)
    expect([listener.keys.asked, lastFailure()]).toEqual([[], 'denied_server'])
    await listener.close()
    await open({ allowedServers: compileAllowedServers({ allow: ['other.example'], deny: [] }) })
    expect(await ask((p) => [usual(p)])).toMatchObject(forbidden)
  })

  it.each([
    ['evil.example', 'evil.example', true],
    ['evil.example', 'evil.example.', true],
    ['evil.example', 'EVIL.example:8448', true],
    ['evil.example.', 'evil.example', true],
    ['evil.example:8448', 'evil.example:8448', true],
    ['evil.example:8448', 'evil.example.:08448', true],
    ['evil.example:8448', 'evil.example:8449', false],
    ['evil.example:8448', 'evil.example', false],
    ['[::1]', '[0:0:0:0:0:0:0:1]', true],
    ['[::1]', '[0:0:0:0:0:0:0:1]:80', true],
    ['1.2.3.4', '[::FFFF:1.2.3.4]', true],
    ['[::1]', '[::2]', false],
  ])('lists mean servers, not spellings: %s on %s: %s', async (entry, origin, meant) => {
    await open({ allowedServers: compileAllowedServers({ allow: null, deny: [entry] }) })
    expect((await ask((p) => [usual({ ...p, origin })])).status).toBe(meant ? 403 : 401)
    expect(listener.keys.asked).toEqual(meant ? [] : [origin])
    await listener.close()
    await open({ allowedServers: compileAllowedServers({ allow: [entry], deny: [] }) })
    expect((await ask((p) => [usual({ ...p, origin })])).status).toBe(meant ? 401 : 403)
    expect(listener.keys.asked).toEqual(meant ? [origin] : [])
  })
})

describe('signs of life', () => {
  it('are told of the server that a request is proved to come from, whatever the answer, and of no other', async () => {
    const heard: string[] = []
    await open({ heardFrom: (origin) => heard.push(origin) })
    await ask((p) => [usual({ ...p, sig: base64(Buffer.alloc(64)) })])
    await ask((p) => [usual({ ...p, origin: 'else.example' })])
    await ask(() => [])
    expect(heard).toEqual([])
    expect((await ask((p) => [usual(p)])).status).toBe(200)
    const unknownRoom = makeKnockPath('!none:resident.example', listener.kim.id, '10')
    expect((await ask((p) => [usual(p)], unknownRoom)).status).toBe(404)
    expect(heard).toEqual([listener.remote.name, listener.remote.name])
  })
})
