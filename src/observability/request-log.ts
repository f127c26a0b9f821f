/** One line for each answered request. It names the origin, the route and the room, and nothing that people wrote. */
import type { AnsweredRequest } from '../http/answered-request.ts'
import type { Log } from './log.ts'

/** Logs an answered request; members that are not known are left out. */
export function logRequest(log: Log, request: AnsweredRequest): void {
  const { method, route, status, errcode, rule, origin, room, failure, milliseconds } = request
  const ms = Math.round(milliseconds * 100) / 100
  const line = { method, route, status, errcode, rule, origin, room, failure, ms }
  if (status >= 500) log.error(line, 'answered')
  else log.info(line, 'answered')
}
