/** What a process under attack shows from outside: its memory, and how long its event loop stood still. */
import { readFileSync } from 'node:fs'
import type { RunningService } from '../service.ts'

/** Memory is looked at so often. */
const LOOK_MS = 20
/** Of the timer that measures the event loop: it cannot fire sooner. */
const LOOP_RESOLUTION_MS = 10

export interface Watch {
  /** Ends it. @returns by how much resident memory was larger at its largest than at the beginning, in MB */
  end(): number
}

/** Watches the resident memory of a process, also while it answers nothing. Needs /proc. */
export function watchMemory(pid: number): Watch {
  const atStart = residentMb(pid) ?? 0
  let most = atStart
  const timer = setInterval(() => {
    most = Math.max(most, residentMb(pid) ?? 0)
  }, LOOK_MS)
  return {
    end() {
      clearInterval(timer)
      return Math.max(most, residentMb(pid) ?? 0) - atStart
    },
  }
}

/** @returns undefined once the process is gone */
function residentMb(pid: number): number | undefined {
  try {
    const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
    return kilobytes === undefined ? undefined : (Number(kilobytes) * 1024) / 1e6
  } catch {
    return undefined
  }
}

/** The longest turn of the service's event loop since this was asked for last, in milliseconds. */
export async function longestStall(service: Pick<RunningService, 'metric'>): Promise<number> {
  return Math.max(0, (await service.metric('nodejs_eventloop_lag_max_seconds')) * 1000 - LOOP_RESOLUTION_MS)
}
