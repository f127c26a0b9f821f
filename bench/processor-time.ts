/** What a run costs a server in processor time, which suffers less than throughput when others use the machine. */
import type { LoadResult } from './load-protocol.ts'

export interface CountedRun extends LoadResult {
  /** Seconds of processor time that the server took, in all its threads; the load generator's are not included. */
  readonly cpu: number
}

/** @param cpuSeconds what the server has taken so far */
export async function counted(cpuSeconds: () => Promise<number>, run: () => Promise<LoadResult>): Promise<CountedRun> {
  const before = await cpuSeconds()
  const result = await run()
  return { ...result, cpu: (await cpuSeconds()) - before }
}

/** Microseconds for one request. */
export function cpuEach({ cpu, answers }: CountedRun): number {
  return (cpu * 1e6) / answers
}
