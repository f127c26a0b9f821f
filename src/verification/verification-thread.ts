/**
 * Ed25519 with a thread of its own for verifying. The event loop writes a signature into shared memory and is woken when
 * verdicts are there, which under load is once for several. docs/decisions/0010-a-thread-that-verifies.md
 */
import type { Worker } from 'node:worker_threads'
import { spawnThread } from '../concurrency/spawn.ts'
import { type Ed25519, KEY_BYTES, SIGNATURE_BYTES } from '../matrix/ed25519.ts'
import { createSharedMemory, JUDGED, MESSAGE_BYTES, openPlaces, PLACES, SUBMITTED } from './shared-places.ts'

export interface VerificationThread extends Ed25519 {
  /** Resolves once the thread verifies, or is lost: while it is loaded, a process that is short of files can lose it. */
  ready(): Promise<void>
  /** Calls back, with the reason, when the thread ended and nobody had stopped it. */
  onLost(listener: (reason: string) => void): void
  stop(): Promise<void>
}

interface Submitted {
  readonly publicKey: Uint8Array
  readonly message: Uint8Array
  readonly signature: Uint8Array
  readonly resolve: (good: boolean | Promise<boolean>) => void
}

/** It keeps nothing from one signature to the next. */
const LIMITS = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 24 }

function spawnVerifier(memory: SharedArrayBuffer): Worker {
  return spawnThread(new URL('./verifier.ts', import.meta.url), memory, LIMITS)
}

/**
 * Starts the thread.
 * @param otherwise signs, and verifies what does not fit into a place, what finds none free, and everything once the
 * thread is lost
 * @param spawn starts the thread's module on the memory that both share
 */
export function startVerificationThread(otherwise: Ed25519, spawn = spawnVerifier): VerificationThread {
  const memory = createSharedMemory()
  const { counters, at } = openPlaces(memory)
  const waiting: (Submitted | undefined)[] = new Array(PLACES).fill(undefined)
  const worker = spawn(memory)
  worker.unref()
  let submitted = 0
  let judged = 0
  let isWatching = false
  let state: 'running' | 'lost' | 'stopped' = 'running'
  const listeners: ((reason: string) => void)[] = []

  const take = (): Submitted | undefined => {
    const index = judged & (PLACES - 1)
    const taken = waiting[index]
    waiting[index] = undefined
    judged = (judged + 1) | 0
    return taken
  }
  const collect = () => {
    isWatching = false
    while (state === 'running' && judged !== submitted) {
      const upTo = Atomics.load(counters, JUDGED)
      while (judged !== upTo) {
        const { good } = at(judged)
        take()?.resolve(good)
      }
      if (judged === submitted) return
      const change = Atomics.waitAsync(counters, JUDGED, judged)
      if (!change.async) continue
      isWatching = true
      void change.value.then(collect)
      return
    }
  }
  const leaveToOther = () => {
    while (judged !== submitted) {
      const left = take()
      left?.resolve(otherwise.verify(left.publicKey, left.message, left.signature))
    }
  }
  const lose = (reason: string) => {
    if (state !== 'running') return
    state = 'lost'
    leaveToOther()
    for (const listener of listeners) listener(reason)
  }
  worker.on('error', (error) => lose(error.message))
  worker.on('exit', (code) => lose(`it ended unasked (exit code ${code})`))

  const verification: VerificationThread = {
    async ready() {
      // Whatever it says of this: then it is there.
      await verification.verify(new Uint8Array(KEY_BYTES), new Uint8Array(), new Uint8Array(SIGNATURE_BYTES))
    },
    verify(publicKey, message, signature) {
      const isFull = ((submitted - judged) | 0) === PLACES
      const fits = message.length <= MESSAGE_BYTES && publicKey.length === KEY_BYTES
      if (state !== 'running' || isFull || !fits || signature.length !== SIGNATURE_BYTES) {
        return otherwise.verify(publicKey, message, signature)
      }
      return new Promise((resolve) => {
        const place = at(submitted)
        place.length = message.length
        place.publicKey.set(publicKey)
        place.signature.set(signature)
        place.message.set(message)
        waiting[submitted & (PLACES - 1)] = { publicKey, message, signature, resolve }
        submitted = (submitted + 1) | 0
        Atomics.store(counters, SUBMITTED, submitted)
        Atomics.notify(counters, SUBMITTED)
        if (!isWatching) collect()
      })
    },
    sign: otherwise.sign,
    onLost: (listener) => listeners.push(listener),
    async stop() {
      state = 'stopped'
      await worker.terminate()
      leaveToOther()
    },
  }
  return verification
}
