import { describe, expect, it } from 'vitest'
import { createSlots } from '../../src/waiting/slots.ts'

describe('slots', () => {
  const task = () => {
    let finish: () => void = () => {}
    const done = new Promise<void>((resolve) => {
      finish = resolve
    })
    return { finish, run: () => done.then(() => 'ran') }
  }

  it('runs as many as there are slots, the rest in order of arrival', async () => {
    const slots = createSlots(2, 10)
    const order: number[] = []
    const held = [task(), task()]
    const first = held.map(({ run }) => slots.run(run, 1000))
    const later = [1, 2, 3].map((number) => slots.run(async () => order.push(number), 1000))
    await Promise.resolve()
    expect(order).toEqual([])
    held[0]?.finish()
    await Promise.all(later)
    expect(order).toEqual([1, 2, 3])
    held[1]?.finish()
    expect(await Promise.all(first)).toEqual(['ran', 'ran'])
  })

  it('turns away at once who finds the queue full, and after its time who waits', async () => {
    const slots = createSlots(1, 1)
    const held = task()
    const first = slots.run(held.run, 1000)
    let ran = false
    const waits = slots.run(async () => {
      ran = true
    }, 30)
    expect(await slots.run(async () => 'never', 60_000)).toBeUndefined()
    expect(await waits).toBeUndefined()
    held.finish()
    expect(await first).toBe('ran')
    expect(ran).toBe(false)
    expect(await slots.run(async () => 'free again', 0)).toBe('free again')
  })

  it('frees the slot of a task that fails', async () => {
    const slots = createSlots(1, 1)
    await expect(slots.run(() => Promise.reject(new Error('no')), 0)).rejects.toThrow('no')
    expect(await slots.run(async () => 'free', 0)).toBe('free')
  })
})
