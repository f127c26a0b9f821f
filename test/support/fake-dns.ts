/**
 * A DNS server on loopback over UDP, as far as tests ask: A, AAAA, CNAME and SRV records, names that do not exist and
 * names that never answer.
 * https://www.rfc-editor.org/rfc/rfc1035#section-4
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv4 } from 'node:net'

export interface ServiceEntry {
  readonly target: string
  readonly port: number
  readonly priority?: number
  readonly weight?: number
}

/** What the server knows of one name. */
export type Zone =
  | {
      readonly addresses?: readonly string[]
      readonly services?: readonly ServiceEntry[]
      readonly alias?: string
      readonly ttl?: number
      /** Types of questions that are never answered: `AAAA`. */
      readonly silent?: readonly string[]
    }
  | 'hang'
  | 'broken'

export interface FakeDns {
  /** `127.0.0.1:PORT`, as resolvers take it. */
  readonly server: string
  /** Lower-case names to what they are; everything else does not exist. Changed at will. */
  readonly zones: Map<string, Zone>
  /** `TYPE name` of each question, in order. */
  readonly questions: string[]
  close(): Promise<void>
}

const TYPES: Readonly<Record<number, string>> = { 1: 'A', 5: 'CNAME', 28: 'AAAA', 33: 'SRV' }
const NO_SUCH_NAME = 3
const SERVER_FAILURE = 2

export async function startFakeDns(zones: Readonly<Record<string, Zone>> = {}, port = 0): Promise<FakeDns> {
  const known = new Map(Object.entries(zones))
  const questions: string[] = []
  const socket = createSocket('udp4')
  socket.bind(port, '127.0.0.1')
  await once(socket, 'listening')
  socket.on('message', (message, from) => {
    const { name, type, end } = readQuestion(message)
    questions.push(`${TYPES[type] ?? type} ${name}`)
    const zone = known.get(name)
    if (zone === 'hang' || (typeof zone === 'object' && zone.silent?.includes(TYPES[type] ?? ''))) return
    const answers = zone === undefined || zone === 'broken' ? [] : answersOf(known, name, type)
    const code = zone === undefined ? NO_SUCH_NAME : zone === 'broken' ? SERVER_FAILURE : 0
    const head = Buffer.alloc(12)
    head.writeUInt16BE(message.readUInt16BE(0), 0)
    head.writeUInt16BE(0x8580 | code, 2)
    head.writeUInt16BE(1, 4)
    head.writeUInt16BE(answers.length, 6)
    head.writeUInt16BE(1, 10)
    const parts = [head, message.subarray(12, end), ...answers, KEPT_BY_NOBODY]
    socket.send(Buffer.concat(parts), from.port, from.address)
  })
  return {
    server: `127.0.0.1:${socket.address().port}`,
    zones: known,
    questions,
    async close() {
      const closed = once(socket, 'close')
      socket.close()
      await closed
    },
  }
}

function readQuestion(message: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.').toLowerCase(), type: message.readUInt16BE(at + 1), end: at + 5 }
}

function answersOf(zones: ReadonlyMap<string, Zone>, name: string, type: number): Buffer[] {
  const zone = zones.get(name)
  if (zone === undefined || typeof zone === 'string') return []
  const { addresses = [], services = [], alias, ttl = 60 } = zone
  if (alias !== undefined) return [record(name, 5, ttl, encodeName(alias)), ...answersOf(zones, alias, type)]
  if (type === 33) return services.map((service) => record(name, 33, ttl, serviceData(service)))
  const wanted = addresses.filter((address) => (isIPv4(address) ? type === 1 : type === 28))
  return wanted.map((address) => record(name, type, ttl, addressData(address)))
}

/**
 * An additional record that may not be kept. Node 20.19.0 keeps whole answers by its own clock, for as long as the shortest
 * of their records allows; tests set the clock of the resolver, which goes by the answers alone.
 */
const KEPT_BY_NOBODY = record('nobody.test', 1, 0, addressData('192.0.2.0'))

function record(name: string, type: number, ttl: number, data: Buffer): Buffer {
  const fixed = Buffer.alloc(10)
  fixed.writeUInt16BE(type, 0)
  fixed.writeUInt16BE(1, 2)
  fixed.writeUInt32BE(ttl, 4)
  fixed.writeUInt16BE(data.length, 8)
  return Buffer.concat([encodeName(name), fixed, data])
}

function serviceData({ target, port, priority = 10, weight = 10 }: ServiceEntry): Buffer {
  const fixed = Buffer.alloc(6)
  fixed.writeUInt16BE(priority, 0)
  fixed.writeUInt16BE(weight, 2)
  fixed.writeUInt16BE(port, 4)
  return Buffer.concat([fixed, encodeName(target)])
}

function encodeName(name: string): Buffer {
  const labels = name.split('.').filter(Boolean)
  return Buffer.concat([
    ...labels.map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`)),
    Buffer.from([0]),
  ])
}

function addressData(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  const [before = '', after] = address.split('::')
  const head = before.split(':').filter(Boolean)
  const tail = (after ?? '').split(':').filter(Boolean)
  const groups = [...head, ...Array<string>(8 - head.length - tail.length).fill('0'), ...tail]
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex')
}
