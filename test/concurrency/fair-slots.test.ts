import { describe, expect, it } from 'vitest'
import { createFairSlots } from '../../src/concurrency/fair-slots.ts'

const ROOMY = { slots: 2, perCause: 2, maxWaiting: 100, patienceMs: 60_000 }
const LONG = 60_000

/** A task that runs until it is told to end. */
function held() {
  let end: () => void = () => {}
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  return { end, run: () => ended.then(() => 'ran') }
}

/** A task that hangs until its slot is taken from it. */
const hanging = (signal: AbortSignal): Promise<string> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve('gave up')))

describe('fair slots', () => {
  it('lets one cause in before a flood of another that came earlier', async () => {
    const slots = createFairSlots(ROOMY)
    const order: string[] = []
    const holders = [held(), held()]
    const holding = holders.map(({ run }) => slots.run(['flood'], run, LONG))
    const flood = [1, 2, 3].map((at) => slots.run(['flood'], async () => order.push(`flood ${at}`), LONG))
    const other = slots.run(['other'], async () => order.push('other'), LONG)
    holders[0]?.end()
    await Promise.all([other, ...flood])
    expect(order).toEqual(['other', 'flood 1', 'flood 2', 'flood 3'])
    holders[1]?.end()
    expect(await Promise.all(holding)).toEqual(['ran', 'ran'])
  })

  it('lets the one in that has fewest waiting where there is a single slot', async () => {
    const slots = createFairSlots({ ...ROOMY, slots: 1 })
    const order: string[] = []
    const holder = held()
    const holding = slots.run(['flood'], holder.run, LONG)
    const flood = [1, 2].map((at) => slots.run(['flood'], async () => order.push(`flood ${at}`), LONG))
    const other = slots.run(['other'], async () => order.push('other'), LONG)
    holder.end()
    await Promise.all([holding, other, ...flood])
    expect(order).toEqual(['other', 'flood 1', 'flood 2'])
  })

  it('gives one cause no more than its share while slots are free', async () => {
    const slots = createFairSlots({ ...ROOMY, slots: 3, perCause: 1 })
    const holder = held()
    const holding = slots.run(['a', 'shared'], holder.run, LONG)
    let ran = false
    const second = slots.run(
      ['b', 'shared'],
      async () => {
        ran = true
      },
      LONG,
    )
    expect(await slots.run(['c'], async () => 'at once', LONG)).toBe('at once')
    expect(ran).toBe(false)
    holder.end()
    await Promise.all([holding, second])
    expect(ran).toBe(true)
  })

  it('takes the slot from a task that takes long, when others wait and only then', async () => {
    const slots = createFairSlots({ ...ROOMY, slots: 1, patienceMs: 1 })
    const long = slots.run(['long'], hanging, LONG)
    expect(await slots.run(['other'], async () => 'ran', LONG)).toBe('ran')
    expect(await long).toBe('gave up')
    const alone = held()
    const kept = slots.run(['long'], alone.run, LONG)
    await new Promise((resolve) => setTimeout(resolve, 5))
    alone.end()
    expect(await kept).toBe('ran')
  })

  it('takes the share of a cause from its task that takes long, while slots are free', async () => {
    const slots = createFairSlots({ ...ROOMY, perCause: 1, patienceMs: 1 })
    const long = slots.run(['one'], hanging, LONG)
    expect(await slots.run(['one'], async () => 'ran', LONG)).toBe('ran')
    expect(await long).toBe('gave up')
  })

  it('keeps the last slots for causes that have few', async () => {
    const slots = createFairSlots({ slots: 8, perCause: 8, spare: 4, maxWaiting: 100, patienceMs: LONG })
    const holders = Array.from({ length: 20 }, held)
    let begun = 0
    const holding = holders.map(({ run }, at) => {
      const begin = () => {
        begun++
        return run()
      }
      return slots.run([at % 2 === 0 ? 'flood' : 'other flood'], begin, LONG)
    })
    expect(await slots.run(['newcomer'], async () => 'at once', LONG)).toBe('at once')
    // Three of each: with two free none may have a fourth.
    expect(begun).toBe(6)
    for (const { end } of holders) end()
    await Promise.all(holding)
    expect(begun).toBe(20)
  })

  it('takes the slot of the flood rather than of one that is slow and alone', async () => {
    const slots = createFairSlots({ ...ROOMY, slots: 3, perCause: 3, patienceMs: 1 })
    const slow = held()
    const alone = slots.run(['alone'], slow.run, LONG)
    const flood = [1, 2].map(() => slots.run(['flood'], hanging, LONG))
    expect(await slots.run(['other'], async () => 'ran', LONG)).toBe('ran')
    expect(await flood[0]).toBe('gave up')
    slow.end()
    expect(await alone).toBe('ran')
  })

  it('lets in first whose causes have the fewest that run, all together', async () => {
    const slots = createFairSlots({ ...ROOMY, slots: 3, perCause: 3 })
    const holders = [held(), held(), held()]
    const holding = holders.map(({ run }) => slots.run(['here', 'there'], run, LONG))
    const order: string[] = []
    const again = slots.run(['here', 'there'], async () => order.push('again'), LONG)
    const other = slots.run(['elsewhere', 'there'], async () => order.push('other'), LONG)
    holders[0]?.end()
    await Promise.all([again, other])
    expect(order).toEqual(['other', 'again'])
    for (const { end } of holders) end()
    await Promise.all(holding)
  })

  it('ends what keeps any of those that wait out, not only the first of them', async () => {
    const slots = createFairSlots({ ...ROOMY, slots: 4, perCause: 1, patienceMs: 1 })
    const slow = slots.run(['one'], hanging, LONG)
    const late = held()
    const other = slots.run(['two'], late.run, LONG)
    const second = slots.run(['two'], async () => 'second', LONG)
    expect(await slots.run(['one'], async () => 'ran', LONG)).toBe('ran')
    expect(await slow).toBe('gave up')
    late.end()
    expect(await Promise.all([other, second])).toEqual(['ran', 'second'])
  })

  it('sends the newest of the most numerous away when too many wait', async () => {
    const slots = createFairSlots({ ...ROOMY, slots: 1, maxWaiting: 3 })
    const holder = held()
    const holding = slots.run(['holder'], holder.run, LONG)
    const flood = [1, 2, 3].map((at) => slots.run(['flood'], async () => at, LONG))
    const other = slots.run(['other'], async () => 'other', LONG)
    expect(await flood[2]).toBeUndefined()
    holder.end()
    expect(await Promise.all([flood[0], flood[1], other])).toEqual([1, 2, 'other'])
    await holding
  })

  it('turns away after its time who waits, and frees the slot of a task that fails', async () => {
    const slots = createFairSlots({ ...ROOMY, slots: 1 })
    const holder = held()
    const holding = slots.run(['a'], holder.run, LONG)
    expect(await slots.run(['b'], async () => 'never', 5)).toBeUndefined()
    holder.end()
    await holding
    await expect(slots.run(['a'], () => Promise.reject(new Error('no')), LONG)).rejects.toThrow('no')
    expect(await slots.run(['a'], async () => 'free', LONG)).toBe('free')
  })
})
