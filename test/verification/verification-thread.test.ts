import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { afterAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { type Ed25519, nativeEd25519 } from '../../src/matrix/ed25519.ts'
import { MESSAGE_BYTES, openPlaces, PLACES } from '../../src/verification/shared-places.ts'
import { startVerificationThread } from '../../src/verification/verification-thread.ts'
import { changed, ed25519Contract, KEY, MESSAGE } from '../matrix/ed25519-contract.ts'

const SIGNATURE = nativeEd25519.sign(KEY, MESSAGE)

/** A provider that counts what it is asked, and judges like the native one. */
function counted() {
  return { ...nativeEd25519, verify: vi.fn(nativeEd25519.verify) } satisfies Ed25519
}

function startThread(otherwise: Ed25519, ...spawn: [] | [() => Worker]) {
  const thread = startVerificationThread(otherwise, ...spawn)
  onTestFinished(() => thread.stop())
  return thread
}

describe('a thread that verifies', () => {
  const shared = startVerificationThread(nativeEd25519)
  afterAll(() => shared.stop())
  ed25519Contract('the contract of every provider', shared)

  it('gives each its own verdict, however many come at once', async () => {
    const otherwise = counted()
    const thread = startThread(otherwise)
    const asked = Array.from({ length: 10 * PLACES }, (_, number) => {
      const message = Buffer.from(`message ${number}`)
      const signature = nativeEd25519.sign(KEY, message)
      return { message, good: number % 3 !== 0, signature: number % 3 === 0 ? changed(signature, 40) : signature }
    })
    const verdicts = await Promise.all(asked.map((each) => thread.verify(KEY.publicKey, each.message, each.signature)))
    expect(verdicts).toEqual(asked.map(({ good }) => good))
    // Those for which no place was free, unless one became free meanwhile.
    const others = otherwise.verify.mock.calls.length
    expect(others).toBeGreaterThan(0)
    expect(others).toBeLessThanOrEqual(9 * PLACES)
  })

  it('goes on with the same places, in turn, for as long as it is asked', async () => {
    const otherwise = counted()
    const thread = startThread(otherwise)
    for (let round = 0; round < 5 * PLACES; round++) {
      const message = Buffer.from(`round ${round}`)
      const good = round % 2 === 0
      const signature = nativeEd25519.sign(KEY, good ? message : MESSAGE)
      expect(await thread.verify(KEY.publicKey, message, signature)).toBe(good)
    }
    expect(otherwise.verify).not.toHaveBeenCalled()
  })

  it('keeps keys apart, more of them than it remembers', async () => {
    const otherwise = counted()
    const thread = startThread(otherwise)
    const keys = Array.from({ length: 1_100 }, () => {
      const { publicKey, privateKey } = generateKeyPairSync('ed25519')
      const spki = publicKey.export({ format: 'der', type: 'spki' })
      return { publicKey: spki.subarray(-32), signature: sign(null, MESSAGE, privateKey) }
    })
    for (const [at, { publicKey, signature }] of [...keys, ...keys.slice(0, 50)].entries()) {
      expect(await thread.verify(publicKey, MESSAGE, signature)).toBe(true)
      const other = keys[(at + 1) % keys.length]?.publicKey ?? KEY.publicKey
      expect(await thread.verify(other, MESSAGE, signature)).toBe(false)
    }
    expect(otherwise.verify).not.toHaveBeenCalled()
  })

  it('is not lost to any key or signature', async () => {
    const thread = startThread(nativeEd25519)
    const lost = vi.fn()
    thread.onLost(lost)
    for (let round = 0; round < 2_000; round++) {
      expect(await thread.verify(randomBytes(32), MESSAGE, randomBytes(64))).toBe(false)
    }
    expect(await thread.verify(KEY.publicKey, MESSAGE, SIGNATURE)).toBe(true)
    expect(lost).not.toHaveBeenCalled()
  })

  it('takes messages up to the size of a place, and leaves longer ones to the other provider', async () => {
    const otherwise = counted()
    const thread = startThread(otherwise)
    for (const [length, others] of [
      [MESSAGE_BYTES, 0],
      [MESSAGE_BYTES + 1, 1],
    ] as const) {
      const message = Buffer.alloc(length, 7)
      expect(await thread.verify(KEY.publicKey, message, nativeEd25519.sign(KEY, message))).toBe(true)
      expect(otherwise.verify).toHaveBeenCalledTimes(others)
    }
  })
})

describe('a thread that verifies, and is lost', () => {
  const silent = 'require("node:worker_threads").parentPort.once("message", () => process.exit(3))'

  it('leaves what it had and what comes after to the other provider, and says so once', async () => {
    const otherwise = counted()
    const worker = new Worker(silent, { eval: true })
    const thread = startThread(otherwise, () => worker)
    const lost = vi.fn()
    thread.onLost(lost)
    const waiting = [SIGNATURE, changed(SIGNATURE, 1)].map((one) => thread.verify(KEY.publicKey, MESSAGE, one))
    expect(otherwise.verify).not.toHaveBeenCalled()
    worker.postMessage('end')
    expect(await Promise.all(waiting)).toEqual([true, false])
    expect(lost.mock.calls).toEqual([['it ended unasked (exit code 3)']])
    expect(await thread.verify(KEY.publicKey, MESSAGE, SIGNATURE)).toBe(true)
    expect(otherwise.verify).toHaveBeenCalledTimes(3)
  })

  it('says why, where it failed', async () => {
    const worker = new Worker('throw new Error("no memory left")', { eval: true })
    const lost = vi.fn()
    startThread(nativeEd25519, () => worker).onLost(lost)
    await expect.poll(() => lost.mock.calls).toEqual([['no memory left']])
  })

  it('is ready when it verifies, and not before; nobody waits for one that is lost', async () => {
    const worker = new Worker(silent, { eval: true })
    const ready = vi.fn()
    const becoming = startThread(nativeEd25519, () => worker)
      .ready()
      .then(ready)
    await once(worker, 'online')
    expect(ready).not.toHaveBeenCalled()
    worker.postMessage('end')
    await becoming
    const otherwise = counted()
    await startThread(otherwise).ready()
    expect(otherwise.verify).not.toHaveBeenCalled()
  })

  it('is not missed once it was stopped', async () => {
    const thread = startVerificationThread(nativeEd25519)
    const lost = vi.fn()
    thread.onLost(lost)
    expect(await thread.verify(KEY.publicKey, MESSAGE, SIGNATURE)).toBe(true)
    const last = [SIGNATURE, changed(SIGNATURE, 1)].map((one) => thread.verify(KEY.publicKey, MESSAGE, one))
    await thread.stop()
    expect(await Promise.all(last)).toEqual([true, false])
    expect(await thread.verify(KEY.publicKey, MESSAGE, SIGNATURE)).toBe(true)
    expect(lost).not.toHaveBeenCalled()
  })
})

describe('the places that both ends see', () => {
  it('are found by counters that have wrapped around', () => {
    const memory = new SharedArrayBuffer(1 << 20)
    const [here, there] = [openPlaces(memory), openPlaces(memory)]
    const last = 2 ** 31 - 1
    const wrapped = (last + 1) | 0
    here.at(last).length = 1
    here.at(wrapped).length = 2
    expect(wrapped).toBe(-(2 ** 31))
    expect([there.at(PLACES - 1).length, there.at(0).length]).toEqual([1, 2])
  })
})
