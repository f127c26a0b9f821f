/** The reverse proxy of the interoperability tests: knocks to one place, the rest to another, nothing rewritten. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type CertificateAuthority, createCertificateAuthority } from '../support/certificates.ts'
import { startDendrite } from './support/dendrite.ts'
import type { Homeserver } from './support/homeserver.ts'
import { send } from './support/web-request.ts'

let authority: CertificateAuthority
let homeserver: Homeserver
let service: Server
let port: number
const targets: string[] = []

beforeAll(async () => {
  authority = createCertificateAuthority()
  service = createServer((request, response) => {
    targets.push(`${request.method} ${request.url} ${request.headers.authorization}`)
    response.end('{}')
  })
  await once(service.listen(0, '127.0.0.1'), 'listening')
  port = (service.address() as AddressInfo).port
  homeserver = await startDendrite({ authority, host: '127.0.0.4' })
  await homeserver.routeKnocksTo(port)
})

beforeEach(() => {
  targets.length = 0
})

afterAll(async () => {
  await homeserver?.stop()
  service?.close()
})

const status = async (method: string, path: string): Promise<number> => {
  const endpoint = { url: homeserver.federationUrl, ca: authority.cert }
  return (await send(endpoint, method, path, { authorization: 'X-Matrix a="b",c="d"' })).status
}

describe('the reverse proxy', () => {
  it.each([
    '/_matrix/federation/v1/make_knock/!room:a.test/@u:b.test?ver=7&ver=10',
    '/_matrix/federation/v1/make_knock/%21room%3Aa.test/%40u%3Ab.test?ver=%31',
    '/_matrix/federation/v1/send_knock/%21r%2F%2f%25%20:a/%24e+%2B~%E2%82%AC',
  ])('hands %s to the service byte for byte', async (path) => {
    expect(await status('PUT', path)).toBe(200)
    expect(targets).toEqual([`PUT ${path} X-Matrix a="b",c="d"`])
  })

  it('hands everything else to the homeserver', async () => {
    expect(await status('GET', '/_matrix/key/v2/server')).toBe(200)
    expect(await status('GET', '/_matrix/client/versions')).toBe(200)
    expect(targets).toEqual([])
  })

  it('answers 502 while the homeserver is down, and goes on with the service', async () => {
    await homeserver.down()
    try {
      expect(await status('GET', '/_matrix/key/v2/server')).toBe(502)
      expect(await status('GET', '/_matrix/federation/v1/make_knock/!room:a.test/@u:b.test')).toBe(200)
    } finally {
      await homeserver.up()
    }
    expect(await status('GET', '/_matrix/key/v2/server')).toBe(200)
  })

  it('hands knocks to the homeserver where no service is named', async () => {
    await homeserver.routeKnocksTo()
    expect(await status('GET', '/_matrix/federation/v1/make_knock/!room:a.test/@u:b.test')).toBe(404)
    expect(targets).toEqual([])
  })
})
