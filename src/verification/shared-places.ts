/**
 * The memory that both ends of the verification thread see: places that are filled in turn by the one and answered in
 * turn by the other, so that neither copies more than the bytes, nor makes an object or a message for a signature.
 */
import { KEY_BYTES, SIGNATURE_BYTES } from '../matrix/ed25519.ts'

/** A power of two: counters wrap around, and a place's number is the low bits of its counter. */
export const PLACES = 128
/** The message of a longer signature does not fit: canonical requests and events are about a kilobyte. */
export const MESSAGE_BYTES = 3_968

/** How many signatures were put in, and how many verdicts were given, as 32 bits that wrap around. */
export const SUBMITTED = 0
export const JUDGED = 1

const COUNTERS_BYTES = 64
const PLACE_BYTES = 4_096
const MESSAGE_AT = PLACE_BYTES - MESSAGE_BYTES

export interface Place {
  /** Of the message, in bytes. */
  length: number
  good: boolean
  readonly publicKey: Buffer
  readonly signature: Buffer
  readonly message: Buffer
}

export interface SharedPlaces {
  readonly counters: Int32Array
  /** The place of a counter's value. */
  at(counter: number): Place
}

export function createSharedMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(COUNTERS_BYTES + PLACES * PLACE_BYTES)
}

export function openPlaces(memory: SharedArrayBuffer): SharedPlaces {
  const places = Array.from({ length: PLACES }, (_, index) => openPlace(memory, COUNTERS_BYTES + index * PLACE_BYTES))
  return {
    counters: new Int32Array(memory, 0, 2),
    at: (counter) => places[counter & (PLACES - 1)] as Place,
  }
}

function openPlace(memory: SharedArrayBuffer, start: number): Place {
  const numbers = new Int32Array(memory, start, 2)
  const keyAt = start + numbers.byteLength
  return {
    get length() {
      return numbers[0] as number
    },
    set length(bytes) {
      numbers[0] = bytes
    },
    get good() {
      return numbers[1] === 1
    },
    set good(good) {
      numbers[1] = good ? 1 : 0
    },
    publicKey: Buffer.from(memory, keyAt, KEY_BYTES),
    signature: Buffer.from(memory, keyAt + KEY_BYTES, SIGNATURE_BYTES),
    message: Buffer.from(memory, start + MESSAGE_AT, MESSAGE_BYTES),
  }
}
