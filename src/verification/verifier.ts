/** The thread that verifies signatures, one after the other, and sleeps while there are none. */
import { workerData } from 'node:worker_threads'
import { LRUCache } from 'lru-cache'
import { verifyHere } from '../matrix/ed25519.ts'
import { JUDGED, openPlaces, SUBMITTED } from './shared-places.ts'

/** Keys that are ready to verify with; making one ready costs a good part of a verification. */
const MOST_KEYS = 1_000

const { counters, at } = openPlaces(workerData as SharedArrayBuffer)
const keys = new LRUCache<string, Uint8Array>({ max: MOST_KEYS })

for (let judged = 0; ; ) {
  Atomics.wait(counters, SUBMITTED, judged)
  const submitted = Atomics.load(counters, SUBMITTED)
  while (judged !== submitted) {
    const place = at(judged)
    place.good = verifyHere(keyOf(place.publicKey), place.message.subarray(0, place.length), place.signature)
    judged = (judged + 1) | 0
    Atomics.store(counters, JUDGED, judged)
    Atomics.notify(counters, JUDGED)
  }
}

/** The same bytes for the same key, each time: what is made ready of a key is kept with its bytes. */
function keyOf(shared: Buffer): Uint8Array {
  const name = shared.toString('latin1')
  const known = keys.get(name)
  if (known !== undefined) return known
  const copy = Uint8Array.from(shared)
  keys.set(name, copy)
  return copy
}
