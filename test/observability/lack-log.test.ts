import { expect, it } from 'vitest'
import { createLackLog } from '../../src/observability/lack-log.ts'
import type { OpenLog } from '../../src/observability/log.ts'

it('what is missing is told at once, and then now and then with how often', () => {
  const told: unknown[] = []
  let now = 0
  const log = { warn: (fields: unknown) => void told.push(fields) } as unknown as OpenLog['log']
  const tell = createLackLog({ log }, () => now)
  for (let at = 0; at < 5; at++) tell(`server${at}`, 'EMFILE')
  expect(told).toEqual([{ server: 'server0', reason: 'EMFILE', untold: 0 }])
  now = 10_000
  tell('other', 'EMFILE')
  expect(told).toHaveLength(2)
  expect(told[1]).toEqual({ server: 'other', reason: 'EMFILE', untold: 4 })
})
