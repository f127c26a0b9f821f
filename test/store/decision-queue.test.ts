import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createDecisionQueue } from '../../src/store/decision-queue.ts'
import type { DecisionRow, JobRunner } from '../../src/store/jobs.ts'
import { decision } from './sample-room.ts'

/** A writer that keeps what it is given, or says that the disk is full. */
function writerOf(written: string[], full = { now: false }): Pick<JobRunner, 'run'> {
  const run = async (_: string, input: unknown) => {
    if (full.now) return { ok: false, reason: 'full' }
    for (const { json } of (input as { rows: readonly DecisionRow[] }).rows) written.push(json)
    return { ok: true, output: null }
  }
  return { run } as unknown as JobRunner
}

describe('decisions on their way to the disk', () => {
  it('are written without anybody asking', async () => {
    const written: string[] = []
    const queue = createDecisionQueue(writerOf(written), Date.now)
    queue.add(decision({ time: 1 }))
    queue.add(decision({ time: 2 }))
    expect(written).toEqual([])
    const deadline = Date.now() + 5_000
    while (written.length < 2 && Date.now() < deadline) await pause(5)
    expect(written.map((json) => JSON.parse(json).time)).toEqual([1, 2])
  })

  it('are written after a flush that found none', async () => {
    const written: string[] = []
    const queue = createDecisionQueue(writerOf(written), Date.now)
    await queue.flush()
    queue.add(decision())
    await queue.flush()
    queue.add(decision())
    await queue.flush()
    expect(written).toHaveLength(2)
  })

  it('are bounded: the oldest are forgotten and counted', async () => {
    const written: string[] = []
    const queue = createDecisionQueue(writerOf(written), Date.now)
    for (let time = 0; time < 10_100; time++) queue.add(decision({ time }))
    await queue.flush()
    expect(written).toHaveLength(10_000)
    expect(JSON.parse(written[0] ?? '').time).toBe(100)
    expect(queue.lost()).toBe(100)
  })

  it('are counted as lost while they cannot be written, and written again after', async () => {
    const written: string[] = []
    const full = { now: true }
    const queue = createDecisionQueue(writerOf(written, full), Date.now)
    queue.add(decision())
    await queue.flush()
    expect([written.length, queue.lost()]).toEqual([0, 1])
    full.now = false
    queue.add(decision())
    await queue.flush()
    expect([written.length, queue.lost()]).toEqual([1, 1])
  })
})
