/**
 * TLS certificates for loopback servers of tests, made on the spot: nothing to install, nothing that expires in the tree.
 * https://www.rfc-editor.org/rfc/rfc5280
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIP, isIPv4 } from 'node:net'

/** A certificate and its private key, both PEM: what `https.createServer` takes. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

/** A certificate authority that nobody but the test trusts. */
export interface CertificateAuthority {
  /** Its own certificate, PEM: for `ca` of a client, or for `federation.ca_path`. */
  readonly cert: string
  /**
   * A server certificate.
   * @param names host names (a first label of `*` is a wildcard) and IP literals without brackets
   * @param validity in milliseconds since the epoch; from yesterday to a year from now where it is left out
   */
  issue(names: readonly string[], validity?: Validity): Certificate
}

interface Validity {
  readonly from: number
  readonly to: number
}

/** What every loopback server of the tests can be called. */
export const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '::1', '*.example.test', 'example.test'] as const

const DAY = 86_400_000

/** A fresh authority, with a key and a name of its own. */
export function createCertificateAuthority(): CertificateAuthority {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const name = `matrix-knock test authority ${randomBytes(6).toString('hex')}`
  const authority = { name, key: pair.privateKey }
  const extensions = [extension('2.5.29.19', true, sequence(boolean(true))), extension('2.5.29.15', true, bits(0x06))]
  const cert = certificate(authority, name, pair.publicKey, extensions, aroundNow())
  return { cert, issue: (names, validity) => issue(authority, names, validity ?? aroundNow()) }
}

interface Issuer {
  readonly name: string
  readonly key: KeyObject
}

function issue(issuer: Issuer, names: readonly string[], validity: Validity): Certificate {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const extensions = [
    extension('2.5.29.19', true, sequence()),
    extension('2.5.29.37', false, sequence(objectId('1.3.6.1.5.5.7.3.1'))),
    extension('2.5.29.17', false, sequence(...names.map(alternativeName))),
  ]
  return {
    cert: certificate(issuer, 'matrix-knock test server', pair.publicKey, extensions, validity),
    key: pair.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
  }
}

function aroundNow(): Validity {
  return { from: Date.now() - DAY, to: Date.now() + 365 * DAY }
}

function certificate(
  issuer: Issuer,
  subject: string,
  publicKey: KeyObject,
  extensions: readonly Buffer[],
  validity: Validity,
): string {
  const algorithm = sequence(objectId('1.2.840.10045.4.3.2'))
  const signed = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([0x5a]), randomBytes(15)])),
    algorithm,
    commonName(issuer.name),
    sequence(time(validity.from), time(validity.to)),
    commonName(subject),
    publicKey.export({ format: 'der', type: 'spki' }),
    tagged(0xa3, sequence(...extensions)),
  )
  const der = sequence(signed, algorithm, bitString(sign('sha256', signed, issuer.key)))
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return sequence(objectId(id), ...(critical ? [boolean(true)] : []), tagged(0x04, value))
}

function alternativeName(name: string): Buffer {
  return isIP(name) === 0 ? tagged(0x82, Buffer.from(name, 'latin1')) : tagged(0x87, addressBytes(name))
}

function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  const [before = '', after] = address.split('::')
  const head = before.split(':').filter(Boolean)
  const tail = (after ?? '').split(':').filter(Boolean)
  const groups = [...head, ...Array<string>(8 - head.length - tail.length).fill('0'), ...tail]
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex')
}

function commonName(name: string): Buffer {
  return sequence(tagged(0x31, sequence(objectId('2.5.4.3'), tagged(0x0c, Buffer.from(name)))))
}

function time(instant: number): Buffer {
  const digits = new Date(instant).toISOString().replace(/\.\d+|[-:T]/g, '')
  return tagged(0x17, Buffer.from(digits.slice(2)))
}

function bits(value: number): Buffer {
  return tagged(0x03, Buffer.from([1, value]))
}

function bitString(content: Buffer): Buffer {
  return tagged(0x03, Buffer.concat([Buffer.from([0]), content]))
}

function boolean(value: boolean): Buffer {
  return tagged(0x01, Buffer.from([value ? 0xff : 0]))
}

function integer(content: Buffer): Buffer {
  return tagged(0x02, content)
}

function sequence(...items: readonly Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(items))
}

function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const bytes = [first * 40 + second]
  for (const arc of rest) {
    const groups = [arc & 0x7f]
    for (let left = arc >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80)
    bytes.push(...groups)
  }
  return tagged(0x06, Buffer.from(bytes))
}

function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content])
  const size = length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}
