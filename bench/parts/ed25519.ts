/** The two providers of Ed25519: why signatures are checked by Node's own, and what the other would cost. */
import { performance } from 'node:perf_hooks'
import { type Ed25519, nativeEd25519 } from '../../src/matrix/ed25519.ts'
import { portableEd25519 } from '../../src/matrix/portable-ed25519.ts'
import type { Figure, Part } from '../figures.ts'
import { createSigner, signText } from '../native-signing.ts'

/** As many at a time as make_knock is measured with. */
const AT_A_TIME = 16
const NATIVE = 8_000
const PORTABLE = 200
const TEXT = `{"destination":"here.bench.test","method":"GET","origin":"remote0.bench.test","uri":"/${'x'.repeat(200)}"}`

export const ed25519Part: Part = { name: 'ed25519', measure }

interface Cost {
  /** Microseconds for one, many at a time. */
  readonly each: number
  /** Microseconds of the event loop for one. */
  readonly loop: number
}

async function measure(): Promise<readonly Figure[]> {
  const native = await costOf(nativeEd25519, NATIVE)
  const portable = await costOf(portableEd25519, PORTABLE)
  const what = `one verification, ${AT_A_TIME} at a time`
  return [
    { key: 'native_verify_us', what: `node:crypto: ${what}`, value: native.each, unit: 'us' },
    { key: 'tweetnacl_verify_us', what: `tweetnacl: ${what}`, value: portable.each, unit: 'us' },
    { key: 'native_verify_loop_us', what: 'node:crypto: of that, event loop', value: native.loop, unit: 'us' },
    { key: 'tweetnacl_verify_loop_us', what: 'tweetnacl: of that, event loop', value: portable.loop, unit: 'us' },
  ]
}

async function costOf({ verify }: Ed25519, count: number): Promise<Cost> {
  const signer = createSigner('remote0.bench.test')
  const { publicKey } = signer.identity
  const message = Buffer.from(TEXT)
  const signature = Buffer.from(signText(TEXT, signer), 'base64')
  const some = async (times: number): Promise<void> => {
    for (let time = 0; time < times; time++) {
      if (!(await verify(publicKey, message, signature))) throw new Error('a good signature was refused')
    }
  }
  const all = (total: number) => Promise.all(Array.from({ length: AT_A_TIME }, () => some(total / AT_A_TIME)))
  await all(AT_A_TIME)
  const before = performance.eventLoopUtilization()
  const start = performance.now()
  await all(count)
  const milliseconds = performance.now() - start
  const { active } = performance.eventLoopUtilization(before)
  return { each: (milliseconds * 1000) / count, loop: (active * 1000) / count }
}
