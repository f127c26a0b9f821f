import { describe, expect, it } from 'vitest'
import { retryAfterMs } from '../../src/matrix/retry-after.ts'

const NOW = Date.parse('2026-01-01T00:00:00Z')
const MINUTE_LATER = 'Thu, 01 Jan 2026 00:01:00 GMT'
const MINUTE_AGO = 'Wed, 31 Dec 2025 23:59:00 GMT'

describe('how long an answer asks to wait', () => {
  it.each([
    ['120', 120_000],
    [' 5 ', 5_000],
    ['0', 0],
    ['99999999', 99_999_999_000],
    [MINUTE_LATER, 60_000],
  ])('the header %j says it', (header, waitMs) => {
    expect(retryAfterMs(header, undefined, NOW)).toBe(waitMs)
    expect(retryAfterMs(header, { retry_after_ms: 7 }, NOW)).toBe(waitMs)
  })

  it.each([undefined, '', 'soon', '1.5 s'])('the body says it where the header is %j', (header) => {
    expect(retryAfterMs(header, { retry_after_ms: 7_000 }, NOW)).toBe(7_000)
    expect(retryAfterMs(header, undefined, NOW)).toBeUndefined()
  })

  it.each([null, [], 'x', {}, { retry_after_ms: '7' }, { retry_after_ms: -1 }])(
    'the body %j says nothing of it',
    (body) => {
      expect(retryAfterMs(undefined, body, NOW)).toBeUndefined()
    },
  )

  it('a date that is over asks for no wait, whatever the body says', () => {
    expect(retryAfterMs(MINUTE_AGO, { retry_after_ms: 7_000 }, NOW)).toBeUndefined()
  })
})
