/**
 * The machine's hosts file: names that the operator pinned to addresses, read without getaddrinfo.
 * https://man7.org/linux/man-pages/man5/hosts.5.html
 */
import { readFile, stat } from 'node:fs/promises'
import { isIP } from 'node:net'
import type { Clock } from '../../knock/ports/rooms.ts'

export interface HostsFile {
  /** Addresses of a name, or an empty list. Names are compared without regard to case. */
  addresses(name: string): Promise<readonly string[]>
}

type Hosts = ReadonlyMap<string, readonly string[]>

/** The file is looked at no more often than this, and read again only when it has changed. */
const CHECK_EVERY_MS = 1_000
const MAX_BYTES = 4 * 1024 * 1024
/** RFC 6761: what `localhost` is needs no file. */
const LOOPBACK = ['127.0.0.1', '::1']

/** @param path usually `/etc/hosts`; a file that is absent or larger than 4 MiB counts as empty */
export function createHostsFile(path: string, clock: Clock): HostsFile {
  let hosts: Promise<Hosts> = Promise.resolve(new Map())
  let stamp = ''
  let checkedAt = Number.NEGATIVE_INFINITY

  async function refresh(before: Promise<Hosts>): Promise<Hosts> {
    const status = await stat(path).catch(() => undefined)
    const usable = status?.isFile() === true && status.size <= MAX_BYTES
    const found = usable ? `${status.mtimeMs} ${status.size} ${status.ino}` : ''
    if (found === stamp) return before
    const text = usable ? await readFile(path, 'utf8').catch(({ code }) => (code === 'ENOENT' ? '' : undefined)) : ''
    // For want of descriptors, say: what it said before still counts, and it is read at the next look.
    if (text === undefined) return before
    stamp = found
    return parseHosts(text)
  }

  return {
    async addresses(name) {
      const now = clock()
      if (Math.abs(now - checkedAt) >= CHECK_EVERY_MS) {
        checkedAt = now
        hosts = refresh(hosts)
      }
      const key = hostKey(name)
      return (await hosts).get(key) ?? (key === 'localhost' ? LOOPBACK : [])
    },
  }
}

function parseHosts(text: string): Hosts {
  const hosts = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/)
    if (isIP(address) === 0) continue
    for (const name of names) {
      const key = hostKey(name)
      const listed = hosts.get(key)
      if (listed === undefined) hosts.set(key, [address])
      else listed.push(address)
    }
  }
  return hosts
}

function hostKey(name: string): string {
  return name.toLowerCase().replace(/\.$/, '')
}
