/** The figures of a call that was measured beside its floor: pairs of a run on the floor and a run on the service. */
import type { Figure } from './figures.ts'
import { medianOf, type Pairs, perSecond, throughputRatio } from './pairs.ts'
import { type CountedRun, cpuEach } from './processor-time.ts'

export function figuresBesideFloor(
  call: string,
  connections: number,
  atLeast: number,
  pairs: Pairs<CountedRun>,
): readonly Figure[] {
  const what = `${call}, ${connections} connections`
  const cpu = (of: 0 | 1): number => medianOf(pairs, of, cpuEach)
  const side = (of: 0 | 1, key: string, text: string): readonly Figure[] => [
    { key: `${key}_per_second`, what: text, value: medianOf(pairs, of, perSecond), unit: '/s' },
    { key: `${key}_p50_ms`, what: `${text}, latency`, value: medianOf(pairs, of, ({ p50 }) => p50), unit: 'ms' },
    { key: `${key}_p99_ms`, what: `${text}, latency`, value: medianOf(pairs, of, ({ p99 }) => p99), unit: 'ms' },
    { key: `${key}_cpu_us`, what: `${text}, processor time of all threads for one`, value: cpu(of), unit: 'us' },
  ]
  return [
    {
      key: `${call}_ratio`,
      what: `${what}: throughput of the service by that of the floor`,
      value: throughputRatio(pairs),
      unit: '',
      aim: { atLeast },
    },
    ...side(1, call, what),
    ...side(0, `${call}_floor`, `${what}: floor`),
  ]
}
