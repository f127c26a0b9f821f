/** Bodies of nobody: a mebibyte of JSON of the shapes that cost most to read, under headers that look authentic; and such headers alone. */
import { randomBytes } from 'node:crypto'
import { makeKnockPath, sendKnockPath } from '../../test/support/remote-knocker.ts'
import { base64 } from '../../test/support/signing.ts'

/** As much as a body may have. */
const BYTES = 1024 * 1024

export type Shape = keyof typeof SHAPES

/** Text of a length at most, of members with commas between. */
function list(open: string, member: (index: number) => string, close: string): string {
  const members: string[] = []
  let length = open.length + close.length
  for (let index = 0; ; index++) {
    const next = member(index)
    length += next.length + 1
    if (length > BYTES) return `${open}${members.join(',')}${close}`
    members.push(next)
  }
}

const SHAPES = {
  'empty objects': () => list('{"a":[', () => '{}', ']}'),
  'objects of one key': () => list('{"a":[', () => '{"a":{}}', ']}'),
  'deep nesting': () => `{"a":${'['.repeat(BYTES / 2 - 10)}${']'.repeat(BYTES / 2 - 10)}}`,
  'nesting as deep as events may have': () => list('{"a":[', () => `${'['.repeat(60)}${']'.repeat(60)}`, ']}'),
  'one string of escapes': () => `{"a":"${'\\u0001\\n\\"'.repeat(BYTES / 10 - 10)}"}`,
  'short strings': () => list('{"a":[', () => '"\\u00e9"', ']}'),
  numbers: () => list('{"a":[', () => '1', ']}'),
  'many keys': () => list('{', (index) => `"k${(index * 7919) % 1_000_003}":0`, '}'),
} as const

export function shapes(): readonly (readonly [shape: string, body: string])[] {
  return Object.entries(SHAPES).map(([shape, make]) => [shape, make()])
}

/** The head of a send_knock whose signature nobody made. */
export function forgedHead(origin: string, destination: string, index: number, bodyLength: number): string {
  const uri = sendKnockPath(`!room${index}:${destination}`, `$${randomBytes(32).toString('base64url')}`)
  return forged('PUT', uri, origin, destination, ['content-type: application/json', `content-length: ${bodyLength}`])
}

/** A make_knock whose signature nobody made. */
export function forgedQuestion(origin: string, destination: string, index: number): string {
  return forged(
    'GET',
    makeKnockPath(`!room${index}:${destination}`, `@nobody:${origin}`, '11'),
    origin,
    destination,
    [],
  )
}

function forged(method: string, uri: string, origin: string, destination: string, more: readonly string[]): string {
  const signature = base64(randomBytes(64))
  return [
    `${method} ${uri} HTTP/1.1`,
    `host: ${destination}`,
    `authorization: X-Matrix origin="${origin}",destination="${destination}",key="ed25519:a_1",sig="${signature}"`,
    ...more,
    '\r\n',
  ].join('\r\n')
}
