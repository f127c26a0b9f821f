import { once } from 'node:events'
import { createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { describe, expect, it } from 'vitest'
import { type Certificate, createCertificateAuthority, LOOPBACK_NAMES } from './certificates.ts'

describe('test certificates', () => {
  const authority = createCertificateAuthority()

  it.each([
    ['127.0.0.1', undefined],
    ['::1', undefined],
    ['127.0.0.1', 'localhost'],
    ['127.0.0.1', 'hs1.example.test'],
  ])('a client that trusts the authority reaches %s as %s', async (host, servername) => {
    expect(await statusFrom(authority.issue(LOOPBACK_NAMES), host, servername)).toBe(204)
  })

  it('a certificate for another name is refused by a client', async () => {
    const certificate = authority.issue(['elsewhere.example.test'])
    await expect(statusFrom(certificate, '127.0.0.1', 'hs1.example.test')).rejects.toThrow(/ERR_TLS_CERT_ALTNAME/)
  })

  it('a certificate of yesterday is refused by a client', async () => {
    const certificate = authority.issue(LOOPBACK_NAMES, { from: Date.now() - 9e7, to: Date.now() - 1e7 })
    await expect(statusFrom(certificate, '127.0.0.1', undefined)).rejects.toThrow(/CERT_HAS_EXPIRED/)
  })

  it('a certificate of an unknown authority is refused by a client', async () => {
    const certificate = createCertificateAuthority().issue(LOOPBACK_NAMES)
    await expect(statusFrom(certificate, '127.0.0.1', undefined)).rejects.toThrow(/UNABLE_TO_VERIFY/)
  })

  async function statusFrom(certificate: Certificate, host: string, servername: string | undefined): Promise<number> {
    const server = createServer(certificate, (_request, response) => response.writeHead(204).end())
    await once(server.listen(0, host), 'listening')
    const { port } = server.address() as AddressInfo
    try {
      return await new Promise((resolve, reject) => {
        const sent = request({ host, port, ca: authority.cert, agent: false, ...(servername && { servername }) })
        sent.on('response', (response) => resolve(response.resume().statusCode ?? 0))
        sent.on('error', (error: NodeJS.ErrnoException) => reject(new Error(error.code)))
        sent.end()
      })
    } finally {
      server.close()
    }
  }
})
