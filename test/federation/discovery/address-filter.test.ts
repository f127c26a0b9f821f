import { describe, expect, it } from 'vitest'
import { createAddressFilter, parseNetwork } from '../../../src/federation/discovery/address-filter.ts'

describe('address filter', () => {
  const filter = createAddressFilter([])

  it.each([
    '0.0.0.0',
    '10.0.0.1',
    '100.64.0.1',
    '100.127.255.255',
    '127.0.0.1',
    '127.255.255.255',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.8',
    '192.0.2.1',
    '192.88.99.1',
    '192.168.1.1',
    '198.18.0.1',
    '198.19.255.255',
    '198.51.100.1',
    '203.0.113.1',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::127.0.0.1',
    '::ffff:127.0.0.1',
    '::ffff:8.8.8.8',
    '::ffff:7f00:1',
    '64:ff9b::7f00:1',
    '64:ff9b:1::1',
    '100::1',
    '2001::1',
    '2001:2::1',
    '2001:10::1',
    '2001:db8::1',
    '2002:7f00:1::',
    '3fff::1',
    '5f00::1',
    'fc00::1',
    'fd12:3456::1',
    'fe80::1',
    'fe80::1%lo',
    'fec0::1',
    'ff02::1',
    'localhost',
    '[::1]',
    '',
  ])('C8 %s is refused', (address) => {
    expect(filter.permits(address)).toBe(false)
  })

  it.each([
    '1.1.1.1',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.1',
    '172.15.255.255',
    '172.32.0.1',
    '192.167.255.255',
    '198.17.255.255',
    '198.20.0.1',
    '223.255.255.255',
    '2001:4860:4860::8888',
    '2606:4700::1111',
    '2a00::1',
  ])('C8 %s is permitted', (address) => {
    expect(filter.permits(address)).toBe(true)
  })

  it('C8 exceptions open what they name and nothing else', () => {
    const networks = ['10.1.0.0/16', '127.0.0.1', 'fd00::/8'].map((text) => parseNetwork(text) ?? expect.fail(text))
    const open = createAddressFilter(networks)
    expect(['10.1.2.3', '127.0.0.1', 'fd00::1', '1.1.1.1'].map(open.permits)).toEqual([true, true, true, true])
    expect(['10.2.0.1', '127.0.0.2', 'fc00::1', '::1', '::ffff:10.2.0.1'].map(open.permits)).toEqual(
      Array(5).fill(false),
    )
  })

  it.each([
    '',
    '10.0.0.0/33',
    '::/129',
    '10.0.0/8',
    'example.org',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0.0/-1',
    'fe80::1%lo',
  ])('%j is no network', (text) => {
    expect(parseNetwork(text)).toBeUndefined()
  })
})
