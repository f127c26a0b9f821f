import { describe, expect, it } from 'vitest'
import { parseCertificateBundle } from '../../src/transport/certificate-bundle.ts'
import { createCertificateAuthority } from '../support/certificates.ts'

describe('certificate bundle', () => {
  const one = createCertificateAuthority().cert.trim()
  const other = createCertificateAuthority().cert.trim()

  it('gives each certificate, whatever stands around them', () => {
    const text = `# our own\n${one}\nand\r\n${other}\n`
    expect(parseCertificateBundle(text)).toEqual({ ok: true, certificates: [one, other] })
  })

  it('refuses a file without any', () => {
    expect(parseCertificateBundle('garbage')).toEqual({ ok: false, reason: 'holds no PEM certificate' })
  })

  it('refuses one that is damaged, and says which', () => {
    const damaged = other.replace(/\n[^\n]+\n/, '\n')
    expect(parseCertificateBundle(`${one}\n${damaged}`)).toEqual({ ok: false, reason: 'certificate 2 cannot be read' })
  })
})
