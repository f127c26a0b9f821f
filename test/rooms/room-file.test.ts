import { describe, expect, it } from 'vitest'
import { type RoomFilePart, readRoomFile } from '../../src/rooms/room-file.ts'

const TEXT =
  '{"room_id": "!a\\"]}:b" , "pdus":[{"a":"}]\\\\"},[1,{"b":[]}], -12 ,"x"],\n"n":null,"auth_chain":[ ],"o":[{"p":[]},2],"room_version":1}\n'

async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function partsOf(text: string | Uint8Array, size = 1_000_000): Promise<readonly string[]> {
  const parts: string[] = []
  for await (const part of readRoomFile(inChunks(Buffer.from(text as string), size))) parts.push(shown(part))
  return parts
}

function shown(part: RoomFilePart): string {
  if (part.kind === 'flaw') return `flaw ${part.reason}`
  if (part.kind === 'list') return `list ${part.key}`
  if (part.kind === 'oversized item') return `${part.key}[${part.index}] is oversized`
  const text = Buffer.from(part.bytes).toString()
  return part.kind === 'item' ? `${part.key}[${part.index}] ${text}` : `${part.key} ${text}`
}

const PARTS = [
  'room_id "!a\\"]}:b"',
  'list pdus',
  'pdus[0] {"a":"}]\\\\"}',
  'pdus[1] [1,{"b":[]}]',
  'pdus[2] -12',
  'pdus[3] "x"',
  'list auth_chain',
  'room_version 1',
]

describe('a room file', () => {
  it.each([1, 2, 3, 7, 16, 1_000_000])('is taken apart in chunks of %i bytes', async (size) => {
    expect(await partsOf(TEXT, size)).toEqual(PARTS)
  })

  it('may be an empty object', async () => {
    expect(await partsOf(' { } ')).toEqual([])
  })

  it.each([
    ['', 'the file is empty'],
    ['[]', 'one JSON object is expected at byte 0'],
    ['{"a":1', 'the file ends too early'],
    ['{"a":"x', 'the file ends too early'],
    ['{"a":[1', 'the file ends too early'],
    ['{"a":1}}', 'nothing more is expected at byte 7'],
    ['{a:1}', 'a key or "}" is expected at byte 1'],
    ['{"a" 1}', '":" is expected at byte 5'],
    ['{"a":,}', 'a value is expected at byte 5'],
    ['{"a":1 2}', '"," or "}" is expected at byte 7'],
    ['{"a":1,}', 'a key is expected at byte 7'],
    ['{"a":[,]}', 'an item or "]" is expected at byte 6'],
    ['{"a":[1,]}', 'an item is expected at byte 8'],
    ['{"pdus":[1:2]}', undefined],
    ['{"p\\x":1}', 'a key cannot be read: an unknown escape at character 2'],
    ['{"a":[1 2]}', '"," or "]" is expected at byte 8'],
  ])('that is %j is refused where it goes wrong', async (text, reason) => {
    for (const size of [1, 1_000_000]) {
      const last = (await partsOf(text, size)).at(-1)
      // What stands inside an item is for its reader to refuse.
      expect(last).toBe(reason === undefined ? 'pdus[0] 1:2' : `flaw ${reason}`)
    }
  })

  it('passes over keys that nobody asked for, however large, and reads keys that are escaped', async () => {
    const text = `{"other":"${'x'.repeat(3_000_000)}","more":["${'y'.repeat(3_000_000)}"],"pd\\u0075s":[]}`
    expect(await partsOf(text, 65_536)).toEqual(['list pdus'])
  })

  it('with an item beyond a megabyte goes on after it, and keeps none of it', async () => {
    const text = `{"pdus":["${'x'.repeat(3_000_000)}",{"a":1}],"auth_chain":[]}`
    expect(await partsOf(text, 65_536)).toEqual([
      'list pdus',
      'pdus[0] is oversized',
      'pdus[1] {"a":1}',
      'list auth_chain',
    ])
  })

  it('with a value beyond a megabyte is refused before it is read to its end', async () => {
    let chunks = 0
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('{"room_id":"')
      for (; chunks < 1_000; chunks++) yield Buffer.alloc(64 * 1024, 0x61)
    }
    const parts: string[] = []
    for await (const part of readRoomFile(endless())) parts.push(shown(part))
    expect(parts).toEqual(['flaw room_id is larger than 1048576 bytes'])
    expect(chunks).toBeLessThan(20)
  })
})
