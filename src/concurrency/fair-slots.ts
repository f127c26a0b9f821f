/**
 * A bounded number of things at a time, shared among those who cause them: a flood by one cause waits behind itself, and a
 * task that takes long gives its slot up to one that waits.
 */

export interface FairSlots {
  /**
   * Runs the task when a slot is free and it is the task's turn. Next is the task whose causes, counted together, have the
   * fewest tasks that run. Among equals it is the one whose causes have the fewest that wait, and then the one that came first.
   * @param causes whom the task is for, or against: it counts as one of each
   * @param task must end soon after its signal is aborted: somebody else has its slot then
   * @param waitMs longest wait for a slot, in milliseconds
   * @returns its result, or undefined where it never ran
   */
  run<T>(causes: readonly string[], task: (signal: AbortSignal) => Promise<T>, waitMs: number): Promise<T | undefined>
}

export interface FairSlotsOptions {
  /** Tasks at a time, at least 1. */
  readonly slots: number
  /** Of them those that share a cause, at least 1. */
  readonly perCause: number
  /**
   * Slots that are spared for newcomers. While no more than these are free, a cause gets one only where fewer of its tasks
   * run than slots are free. Default 0.
   */
  readonly spare?: number
  /** Tasks that wait. Beyond it the newest of the cause with the most waiting never runs. */
  readonly maxWaiting: number
  /** How long a task keeps its slot while others wait for one, in milliseconds. */
  readonly patienceMs: number
}

interface Entrant {
  readonly causes: readonly string[]
  /** Ends the wait; undefined where it will never run. */
  readonly letIn: (task: Running | undefined) => void
}

interface Running {
  readonly causes: readonly string[]
  /** So long it keeps its slot while others wait. Milliseconds of the process. */
  readonly until: number
  readonly controller: AbortController
}

export function createFairSlots(options: FairSlotsOptions): FairSlots {
  const { slots, perCause, spare = 0, maxWaiting, patienceMs } = options
  // Sets keep the order of arrival.
  const waiting = new Set<Entrant>()
  const running = new Set<Running>()
  const waitingFor = new Map<string, number>()
  const runningFor = new Map<string, number>()
  let impatience: NodeJS.Timeout | undefined

  function isFull(cause: string): boolean {
    const load = runningFor.get(cause) ?? 0
    const free = slots - running.size
    return load >= perCause || (free <= spare && load >= free)
  }

  /** The one whose turn it is; undefined where nobody may run. */
  function next(): Entrant | undefined {
    if (running.size >= slots) return undefined
    let chosen: Entrant | undefined
    let least = Number.POSITIVE_INFINITY
    let fewest = Number.POSITIVE_INFINITY
    for (const entrant of waiting) {
      const load = sum(runningFor, entrant.causes)
      if (load > least) continue
      const queue = sum(waitingFor, entrant.causes)
      if ((load === least && queue >= fewest) || entrant.causes.some(isFull)) continue
      ;[chosen, least, fewest] = [entrant, load, queue]
    }
    return chosen
  }

  /** Those that keep others out, in the order in which they began: all where the slots are taken, else those of full causes. */
  function holders(): readonly Running[] {
    if (running.size >= slots) return [...running]
    const full = new Set([...waiting].flatMap(({ causes }) => causes.filter(isFull)))
    return [...running].filter(({ causes }) => causes.some((cause) => full.has(cause)))
  }

  /** Of the tasks that have had their time, the one whose causes have the most that run. A task alone is slow, and no flood. */
  function overdue(held: readonly Running[], now: number): Running | undefined {
    let chosen: Running | undefined
    let greatest = -1
    for (const task of held) {
      if (task.until > now) break
      const load = sum(runningFor, task.causes)
      if (load > greatest) [chosen, greatest] = [task, load]
    }
    return chosen
  }

  /** Lets those in whose turn it is, and sees to it that what keeps the others out ends in time. */
  function advance(): void {
    clearTimeout(impatience)
    for (let entrant = next(); entrant !== undefined; entrant = next()) letIn(entrant)
    if (waiting.size === 0) return
    const [first] = holders()
    if (first !== undefined) impatience = setTimeout(endSlow, Math.max(Math.ceil(first.until - performance.now()), 0))
  }

  /** Called by the timer alone. By then a task that was let in a moment ago has begun. */
  function endSlow(): void {
    const slow = overdue(holders(), performance.now())
    if (slow !== undefined) {
      end(slow)
      slow.controller.abort()
    }
    advance()
  }

  function letIn(entrant: Entrant): void {
    leaveQueue(entrant)
    const task = { causes: entrant.causes, until: performance.now() + patienceMs, controller: new AbortController() }
    running.add(task)
    count(runningFor, task.causes, 1)
    entrant.letIn(task)
  }

  function end(task: Running): void {
    if (running.delete(task)) count(runningFor, task.causes, -1)
  }

  function leaveQueue(entrant: Entrant): void {
    if (waiting.delete(entrant)) count(waitingFor, entrant.causes, -1)
  }

  /** Sends the newest away of those whose causes have the most waiting. */
  function makeRoom(): void {
    let chosen: Entrant | undefined
    let greatest = 0
    for (const entrant of waiting) {
      const load = sum(waitingFor, entrant.causes)
      if (load >= greatest) [chosen, greatest] = [entrant, load]
    }
    if (chosen === undefined) return
    leaveQueue(chosen)
    chosen.letIn(undefined)
  }

  function enter(causes: readonly string[], waitMs: number): Promise<Running | undefined> {
    return new Promise((resolve) => {
      const entrant: Entrant = {
        causes,
        letIn(task) {
          clearTimeout(timer)
          resolve(task)
        },
      }
      const timer = setTimeout(
        () => {
          leaveQueue(entrant)
          resolve(undefined)
        },
        Math.max(waitMs, 0),
      )
      waiting.add(entrant)
      count(waitingFor, causes, 1)
      advance()
      if (waiting.size > maxWaiting) makeRoom()
    })
  }

  return {
    async run(causes, task, waitMs) {
      const entered = await enter(causes, waitMs)
      if (entered === undefined) return undefined
      try {
        return await task(entered.controller.signal)
      } finally {
        end(entered)
        advance()
      }
    },
  }
}

function sum(counts: ReadonlyMap<string, number>, causes: readonly string[]): number {
  return causes.reduce((total, cause) => total + (counts.get(cause) ?? 0), 0)
}

function count(counts: Map<string, number>, causes: readonly string[], change: 1 | -1): void {
  for (const cause of new Set(causes)) {
    const changed = (counts.get(cause) ?? 0) + change
    if (changed === 0) counts.delete(cause)
    else counts.set(cause, changed)
  }
}
