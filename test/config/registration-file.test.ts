import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { parseRegistration, writeRegistration } from '../../src/config/registration-file.ts'

const AS_TOKEN = 'a'.repeat(43)
const HS_TOKEN = 'h'.repeat(43)
const TEXT = writeRegistration({ url: 'http://127.0.0.1:8452', asToken: AS_TOKEN, hsToken: HS_TOKEN })

/** A registration with other keys. */
function registration(changes: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ ...(parse(TEXT) as object), ...changes })
}

describe('registration', () => {
  it('is written for the events of every room and for no user', () => {
    expect(parse(TEXT)).toEqual({
      id: 'matrix-knock',
      url: 'http://127.0.0.1:8452',
      as_token: AS_TOKEN,
      hs_token: HS_TOKEN,
      sender_localpart: 'matrix-knock',
      rate_limited: false,
      namespaces: { users: [], aliases: [], rooms: [{ exclusive: false, regex: '!.*' }] },
    })
  })

  it('is read as it was written', () => {
    const read = { id: 'matrix-knock', asToken: AS_TOKEN, hsToken: HS_TOKEN }
    expect(parseRegistration(TEXT)).toEqual({ ok: true, registration: read })
  })

  it('may hold more than we know of', () => {
    const more = { protocols: [], receive_ephemeral: false, 'org.example': { a: 1 }, as_token: 'short+/=' }
    expect(parseRegistration(registration(more))).toMatchObject({ ok: true, registration: { asToken: 'short+/=' } })
  })

  it.each<[string, string, string]>([
    ['nothing', '', 'does not hold keys and values'],
    ['a list', '- id', 'does not hold keys and values'],
    ['broken YAML', `as_token: ${AS_TOKEN}\n  b: [`, 'is no valid YAML'],
    ['a key twice', `id: a\nid: b\nas_token: ${AS_TOKEN}`, 'is no valid YAML'],
    ['more than a registration', `id: ${'a'.repeat(70_000)}`, 'is longer than 64 KiB'],
    ['no id', registration({ id: '' }), 'has no id'],
    ['no url', registration({ url: null }), 'has no url, so the homeserver would tell us nothing'],
    ['no sender', registration({ sender_localpart: undefined }), 'has no sender_localpart'],
    ['no as_token', registration({ as_token: undefined }), 'has no as_token'],
    ['a number as as_token', registration({ as_token: 1 }), 'has no as_token'],
    ['no hs_token', registration({ hs_token: '' }), 'has no hs_token'],
    ['a token that no header can hold', registration({ hs_token: `${HS_TOKEN}\nx` }), 'has no hs_token'],
    ['one token for both', registration({ hs_token: AS_TOKEN }), 'has one token for both directions'],
    ['no namespaces', registration({ namespaces: null }), 'names no rooms in namespaces.rooms'],
    ['no rooms', registration({ namespaces: { rooms: [null, {}] } }), 'names no rooms in namespaces.rooms'],
  ])('with %s is refused, and the reason shows no token', (_name, text, reason) => {
    const result = parseRegistration(text)
    expect(result).toEqual({ ok: false, reason: expect.stringContaining(reason) })
    expect(JSON.stringify(result)).not.toMatch(/aaaa|hhhh/)
  })
})
