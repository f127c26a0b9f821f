/**
 * A room file as a stream: the members of its one object and the items of their lists, each as bytes, so that a room of
 * any size is read in little memory. docs/room-files.md
 */
import { parseJson } from '../matrix/json.ts'
import { isDelimiter, isSpace, JsonExtent } from '../matrix/json-extent.ts'

/** The members of a room file. Others are passed over, whatever they hold. */
const KEYS: ReadonlySet<string> = new Set(['room_id', 'room_version', 'pdus', 'auth_chain', 'extremities', 'flaws'])

/** A piece of the file. What the bytes of an item or a value hold is for others to read. */
export type RoomFilePart =
  /** The value of a member, where it is no list. */
  | { readonly kind: 'value'; readonly key: string; readonly bytes: Uint8Array }
  /** A list begins. */
  | { readonly kind: 'list'; readonly key: string }
  | { readonly kind: 'item'; readonly key: string; readonly index: number; readonly bytes: Uint8Array }
  /** An item of more bytes than any event has. */
  | { readonly kind: 'oversized item'; readonly key: string; readonly index: number }
  /** Nothing follows: the file is not what it should be. */
  | { readonly kind: 'flaw'; readonly reason: string }

/** One event with every character escaped is smaller than this. */
export const MAX_PART_BYTES = 1024 * 1024

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

/** What is expected next, outside of keys and values. */
type Place =
  | 'object'
  | 'first key'
  | 'key'
  | 'colon'
  | 'value'
  | 'after value'
  | 'first item'
  | 'item'
  | 'after item'
  | 'end'

const EXPECTED: Readonly<Record<Place, string>> = {
  object: 'one JSON object',
  'first key': 'a key or "}"',
  key: 'a key',
  colon: '":"',
  value: 'a value',
  'after value': '"," or "}"',
  'first item': 'an item or "]"',
  item: 'an item',
  'after item': '"," or "]"',
  end: 'nothing more',
}

/** Where a byte leads: to another place, to the `begin` of a key or value, or nowhere. */
const AFTER: Readonly<Record<Place, (byte: number) => Place | 'begin' | undefined>> = {
  object: (byte) => (byte === OPEN_BRACE ? 'first key' : undefined),
  'first key': (byte) => (byte === CLOSE_BRACE ? 'end' : beginKey(byte)),
  key: (byte) => beginKey(byte),
  colon: (byte) => (byte === COLON ? 'value' : undefined),
  value: (byte) => (byte === OPEN_BRACKET ? 'first item' : beginValue(byte)),
  'after value': (byte) => (byte === COMMA ? 'key' : byte === CLOSE_BRACE ? 'end' : undefined),
  'first item': (byte) => (byte === CLOSE_BRACKET ? 'after value' : beginValue(byte)),
  item: (byte) => beginValue(byte),
  'after item': (byte) => (byte === COMMA ? 'item' : byte === CLOSE_BRACKET ? 'after value' : undefined),
  end: () => undefined,
}

function beginKey(byte: number): 'begin' | undefined {
  return byte === QUOTE ? 'begin' : undefined
}

function beginValue(byte: number): 'begin' | undefined {
  return isDelimiter(byte) || byte === COLON ? undefined : 'begin'
}

/**
 * Takes a room file apart.
 * @param chunks its bytes, in chunks of any size
 * @returns its parts in order; a `flaw` is the last one
 */
export async function* readRoomFile(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<RoomFilePart, void> {
  const splitter = new Splitter()
  for await (const chunk of chunks) {
    yield* splitter.push(chunk)
    if (splitter.broken) return
  }
  yield* splitter.finish()
}

/** The state between two chunks. */
class Splitter {
  broken = false
  #place: Place = 'object'
  #key = ''
  #index = 0
  /** Bytes of the key or value that is being read, from earlier chunks. */
  #earlier: Uint8Array[] = []
  #earlierBytes = 0
  #extent: JsonExtent | undefined
  /** Of the chunk in the file. */
  #offset = 0
  #parts: RoomFilePart[] = []

  push(chunk: Uint8Array): readonly RoomFilePart[] {
    this.#parts = []
    let at = 0
    while (at < chunk.length && !this.broken) at = this.#advance(chunk, at)
    this.#offset += chunk.length
    return this.#parts
  }

  finish(): readonly RoomFilePart[] {
    if (this.#place === 'end') return []
    return [{ kind: 'flaw', reason: this.#offset === 0 ? 'the file is empty' : 'the file ends too early' }]
  }

  /** @returns the index of the first byte that is still to be read */
  #advance(chunk: Uint8Array, at: number): number {
    const byte = chunk[at] ?? 0
    if (this.#extent === undefined) {
      if (isSpace(byte)) return at + 1
      this.#step(byte, at)
      if (this.#extent === undefined) return at + 1
    }
    const end = (this.#extent as JsonExtent).end(chunk, at)
    this.#take(chunk.subarray(at, end ?? chunk.length), end !== undefined)
    return end ?? chunk.length
  }

  /** One byte outside of keys and values: punctuation, or the first of a key or value. */
  #step(byte: number, at: number): void {
    const next = AFTER[this.#place](byte)
    if (next === undefined) this.#fail(`${EXPECTED[this.#place]} is expected at byte ${this.#offset + at}`)
    else if (next === 'begin') this.#extent = new JsonExtent()
    else if (this.#place === 'value') this.#beginList()
    else this.#place = next
  }

  #beginList(): void {
    this.#index = 0
    this.#place = 'first item'
    if (KEYS.has(this.#key)) this.#parts.push({ kind: 'list', key: this.#key })
  }

  #take(bytes: Uint8Array, complete: boolean): void {
    if (this.#isPassedOver()) {
      if (complete) this.#end()
      return
    }
    this.#earlierBytes += bytes.length
    if (this.#earlierBytes > MAX_PART_BYTES) this.#passOversized(complete)
    else {
      this.#earlier.push(bytes)
      if (complete) this.#complete()
    }
  }

  #passOversized(complete: boolean): void {
    this.#earlier = []
    if (!this.#inList()) this.#fail(`${this.#where()} is larger than ${MAX_PART_BYTES} bytes`)
    if (this.broken || !complete) return
    this.#parts.push({ kind: 'oversized item', key: this.#key, index: this.#index++ })
    this.#end()
  }

  #complete(): void {
    const [only, ...more] = this.#earlier
    const whole = only !== undefined && more.length === 0 ? only : Buffer.concat(this.#earlier)
    if (this.#place === 'value') this.#parts.push({ kind: 'value', key: this.#key, bytes: whole })
    else if (this.#inList()) this.#parts.push({ kind: 'item', key: this.#key, index: this.#index++, bytes: whole })
    else if (!this.#readKey(whole)) return
    this.#end()
  }

  /** The key or value is over. */
  #end(): void {
    this.#earlier = []
    this.#earlierBytes = 0
    this.#extent = undefined
    this.#place = this.#place === 'value' ? 'after value' : this.#inList() ? 'after item' : 'colon'
  }

  #readKey(bytes: Uint8Array): boolean {
    const json = parseJson(bytes)
    if (json.ok) this.#key = json.value as string
    else this.#fail(`a key cannot be read: ${json.reason}`)
    return json.ok
  }

  /** Whether what is being read is the value of a key that nobody asked for, or part of it. */
  #isPassedOver(): boolean {
    return (this.#place === 'value' || this.#inList()) && !KEYS.has(this.#key)
  }

  #fail(reason: string): void {
    this.broken = true
    this.#parts.push({ kind: 'flaw', reason })
  }

  #inList(): boolean {
    return this.#place === 'item' || this.#place === 'first item'
  }

  #where(): string {
    return this.#place === 'value' ? this.#key : 'a key'
  }
}
