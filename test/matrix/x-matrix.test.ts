import { describe, expect, it } from 'vitest'
import { decodeBase64 } from '../../src/matrix/base64.ts'
import { canonicalJsonText } from '../../src/matrix/canonical-json.ts'
import { nativeEd25519 } from '../../src/matrix/ed25519.ts'
import type { ServerName } from '../../src/matrix/identifiers.ts'
import { signedBytes } from '../../src/matrix/signed-json.ts'
import { isXMatrix, parseXMatrix, requestBytes, requestObject, writeXMatrix } from '../../src/matrix/x-matrix.ts'
import type { OracleObject } from '../oracle/json-value.ts'
import { objectOfText, vectors } from './given.ts'

const SIG = 'A'.repeat(86)
const EXPECTED = { origin: 'domain', destination: undefined, keyId: 'ed25519:1', signature: SIG }

interface RequestVector {
  readonly method: string
  readonly uri: string
  readonly canonical: string
  readonly authorization: string
  readonly content: OracleObject | null
}

interface Captured {
  readonly requests: readonly {
    readonly method: string
    readonly uri: string
    readonly authorization: string
    readonly body: string | null
  }[]
  readonly server_keys: { readonly verify_keys: Readonly<Record<string, { readonly key: string }>> }
}

interface HeaderCase {
  readonly header: string
  readonly refused?: true
  readonly origin?: string
  readonly key?: string
  readonly sig?: string
  readonly destination?: string | null
}

/** Verifies a header against its request as a receiver of that name does. */
function verifies(header: string, request: OracleObject, publicKey: string): Promise<boolean> {
  const parsed = parseXMatrix(header)
  if (!parsed.ok) throw new Error(parsed.reason)
  const { origin, destination } = parsed.value
  const { method, uri, content } = request
  const object = requestObject({
    method: String(method),
    uri: String(uri),
    origin,
    destination: destination as ServerName,
    ...(content !== null && { content: objectOfText(JSON.stringify(content)) }),
  })
  const key = decodeBase64(publicKey) ?? new Uint8Array()
  return nativeEd25519.verify(key, signedBytes(object), decodeBase64(parsed.value.signature) ?? new Uint8Array())
}

describe('X-Matrix vectors', () => {
  const { x_matrix: cases, public_key: key } = vectors<{ x_matrix: readonly RequestVector[]; public_key: string }>(
    'events.json',
  )

  it.each(cases)(
    'B1 the header of $method $uri verifies',
    async ({ method, uri, content, canonical, authorization }) => {
      const parsed = parseXMatrix(authorization)
      if (!parsed.ok) throw new Error(parsed.reason)
      expect(writeXMatrix(parsed.value)).toBe(authorization)
      const { origin, destination } = parsed.value
      const object = requestObject({
        method,
        uri,
        origin,
        destination: destination as ServerName,
        ...(content !== null && { content: objectOfText(JSON.stringify(content)) }),
      })
      expect(canonicalJsonText(object)).toBe(canonical)
      expect(await verifies(authorization, { method, uri, content }, key)).toBe(true)
    },
  )

  it('B2 each header verifies against its own request alone', async () => {
    for (const [at, { authorization }] of cases.entries()) {
      for (const [other, { method, uri, content }] of cases.entries()) {
        expect(await verifies(authorization, { method, uri, content }, key)).toBe(at === other)
      }
    }
  })

  const captured = vectors<Captured>('synapse-knock.json')
  it.each(captured.requests)(
    'B10 the captured $method request verifies',
    async ({ method, uri, authorization, body }) => {
      const published = captured.server_keys.verify_keys['ed25519:a_DxAU']?.key ?? ''
      const content = body === null ? null : (JSON.parse(body) as OracleObject)
      expect(await verifies(authorization, { method, uri, content }, published)).toBe(true)
    },
  )

  it.each(vectors<{ cases: readonly HeaderCase[] }>('synapse-x-matrix.json').cases)(
    'B3 is read as Synapse reads it: $header',
    ({ header, refused, origin, key: keyId, sig, destination }) => {
      const parsed = parseXMatrix(header)
      if (refused === true) expect(parsed.ok).toBe(false)
      else {
        expect(parsed).toEqual({
          ok: true,
          value: { origin, keyId, signature: sig, destination: destination ?? undefined },
        })
      }
    },
  )
})

describe('X-Matrix header', () => {
  it.each([
    ['a scheme in lower case', `x-matrix origin="domain",key="ed25519:1",sig="${SIG}"`],
    ['a scheme in upper case', `X-MATRIX origin="domain",key="ed25519:1",sig="${SIG}"`],
    ['several spaces after the scheme', `X-Matrix    origin="domain",key="ed25519:1",sig="${SIG}"`],
    ['no quotes at all', `X-Matrix origin=domain,key=ed25519:1,sig=${SIG}`],
    ['names in any case', `X-Matrix Origin="domain",KEY="ed25519:1",sIg="${SIG}"`],
    ['white space round the commas', `X-Matrix origin="domain" \t,\t key="ed25519:1" , sig="${SIG}" `],
    ['white space round the equals signs', `X-Matrix origin = "domain",key\t=\t"ed25519:1",sig= "${SIG}"`],
    ['empty list elements', `X-Matrix ,origin="domain",, ,key="ed25519:1",sig="${SIG}",`],
    ['another order', `X-Matrix sig="${SIG}",key="ed25519:1",origin="domain"`],
    ['unknown parameters', `X-Matrix origin="domain",x="y,\\"z",key="ed25519:1",expires=1,sig="${SIG}"`],
    ['escapes', `X-Matrix origin="\\d\\o\\main",key="ed25519\\:1",sig="${SIG}"`],
  ])('B3 reads %s', (_what, header) => {
    expect(isXMatrix(header)).toBe(true)
    expect(parseXMatrix(header)).toEqual({ ok: true, value: EXPECTED })
  })

  it('B3 splits a bare value at the first equals sign alone', () => {
    const header = `X-Matrix origin=host:8448,key=ed25519:1,sig=a/b+c==,destination=[::1]:8448`
    expect(parseXMatrix(header)).toEqual({
      ok: true,
      value: { origin: 'host:8448', keyId: 'ed25519:1', signature: 'a/b+c==', destination: '[::1]:8448' },
    })
  })

  it('B4 needs no destination, and gives one as it is written', () => {
    const base = `X-Matrix origin="domain",key="ed25519:1",sig="${SIG}"`
    expect(parseXMatrix(base)).toMatchObject({ value: { destination: undefined } })
    expect(parseXMatrix(`${base},destination="Not A Name"`)).toMatchObject({ value: { destination: 'Not A Name' } })
    expect(parseXMatrix(`${base},destination=""`)).toMatchObject({ value: { destination: '' } })
  })

  it.each([
    ['another scheme', 'Bearer abc', 'scheme'],
    ['nothing', '', 'scheme'],
    ['a scheme that only begins alike', `X-Matrix2 origin="domain",key="ed25519:1",sig="${SIG}"`, 'scheme'],
    ['a space before the scheme', ` X-Matrix origin="domain",key="ed25519:1",sig="${SIG}"`, 'scheme'],
    ['a tab after the scheme', `X-Matrix\torigin="domain",key="ed25519:1",sig="${SIG}"`, 'scheme'],
    ['the scheme alone', 'X-Matrix', 'origin'],
    ['no origin', `X-Matrix key="ed25519:1",sig="${SIG}"`, 'origin'],
    ['an origin that is no server name', `X-Matrix origin="a b",key="ed25519:1",sig="${SIG}"`, 'origin'],
    ['an empty origin', `X-Matrix origin="",key="ed25519:1",sig="${SIG}"`, 'origin'],
    ['no key', `X-Matrix origin="domain",sig="${SIG}"`, 'key'],
    ['no signature', 'X-Matrix origin="domain",key="ed25519:1"', 'sig'],
    ['the signature under the name of the text', `X-Matrix origin="domain",key="ed25519:1",signature="${SIG}"`, 'sig'],
    ['a parameter twice', `X-Matrix origin="domain",origin="domain",key="ed25519:1",sig="${SIG}"`, 'list'],
    ['a parameter twice in another case', `X-Matrix origin="domain",ORIGIN="x",key="ed25519:1",sig="${SIG}"`, 'list'],
    ['an unknown parameter twice', `X-Matrix a=1,a=1,origin="domain",key="ed25519:1",sig="${SIG}"`, 'list'],
    ['no comma between', `X-Matrix origin="domain" key="ed25519:1",sig="${SIG}"`, 'list'],
    ['text behind a quoted value', `X-Matrix origin="domain"x,key="ed25519:1",sig="${SIG}"`, 'list'],
    ['a quote that is not closed', `X-Matrix origin="domain,key="ed25519:1",sig="${SIG}`, 'list'],
    ['an escape at the end', 'X-Matrix origin="domain\\', 'list'],
    ['a quote inside a bare value', 'X-Matrix origin=do"main', 'list'],
    ['a name without a value', 'X-Matrix origin=,key="ed25519:1"', 'list'],
    ['a name without an equals sign', 'X-Matrix origin', 'list'],
    ['a name that is no token', 'X-Matrix or(igin="domain"', 'list'],
    ['no name', 'X-Matrix ="domain"', 'list'],
  ])('refuses %s', (_what, header, reason) => {
    expect(parseXMatrix(header)).toEqual({ ok: false, reason: expect.stringContaining(reason) })
  })

  it('tells its scheme from others', () => {
    expect(['X-Matrix a', 'x-matrix', 'X-Matrix'].map(isXMatrix)).toEqual([true, true, true])
    expect(['X-MatrixX a', 'Bearer X-Matrix a', ''].map(isXMatrix)).toEqual([false, false, false])
  })

  it('is written with every value quoted, and quotes and backslashes escaped', () => {
    const value = { origin: 'a.b' as ServerName, keyId: 'k"\\', signature: 's' }
    expect(writeXMatrix({ ...value, destination: 'c' })).toBe(
      'X-Matrix origin="a.b",destination="c",key="k\\"\\\\",sig="s"',
    )
    expect(writeXMatrix({ ...value, destination: undefined })).toBe('X-Matrix origin="a.b",key="k\\"\\\\",sig="s"')
  })

  it('B8 signs content where there is a body, even an empty object, and no such key where there is none', () => {
    const request = {
      method: 'GET',
      uri: '/_matrix/x?a=%21',
      origin: 'a' as ServerName,
      destination: 'b' as ServerName,
    }
    expect(canonicalJsonText(requestObject(request))).toBe(
      '{"destination":"b","method":"GET","origin":"a","uri":"/_matrix/x?a=%21"}',
    )
    expect(canonicalJsonText(requestObject({ ...request, content: {} }))).toContain('"content":{}')
    for (const content of [undefined, {}, { b: [1, { d: null, c: '\u{1f600}' }], a: 'x' }]) {
      const object = requestObject({ ...request, ...(content && { content }) })
      const bytes = requestBytes(request, content && canonicalJsonText(content))
      expect(bytes.toString()).toBe(canonicalJsonText(object))
    }
  })
})
