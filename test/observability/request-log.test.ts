import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import { createRequestLog } from '../../src/observability/request-log.ts'

const answered = {
  method: 'PUT',
  route: 'send_knock',
  status: 403,
  errcode: 'M_FORBIDDEN',
  rule: 'auth v10 4.7.1',
  origin: 'remote.example',
  room: '!room:resident.example',
  failure: undefined,
  detail: undefined,
  milliseconds: 1.2345,
} as const

function logged(level: string, status: number): readonly string[] {
  const lines: string[] = []
  const log = pino({ level }, { write: () => undefined })
  createRequestLog(
    { log, writeLine: (json) => void lines.push(json) },
    () => 1_760_000_000_000,
  )({ ...answered, status })
  return lines
}

describe('the request log', () => {
  it('has one line a request, in the form of the other lines', () => {
    expect(logged('info', 403).map((line) => JSON.parse(line))).toEqual([
      {
        level: 30,
        time: '2025-10-09T08:53:20.000Z',
        method: 'PUT',
        route: 'send_knock',
        status: 403,
        errcode: 'M_FORBIDDEN',
        rule: 'auth v10 4.7.1',
        origin: 'remote.example',
        room: '!room:resident.example',
        ms: 1.23,
        msg: 'answered',
      },
    ])
  })

  it('keeps to the level: requests are information, faults of ours are errors', () => {
    expect(logged('warn', 403)).toEqual([])
    expect(logged('warn', 500)).toHaveLength(1)
    expect(JSON.parse(logged('error', 500)[0] ?? '')).toMatchObject({ level: 50 })
    expect(logged('silent', 500)).toEqual([])
  })
})
