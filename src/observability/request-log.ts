/** One line for each answered request. It names the origin, the route and the room, and nothing that people wrote. */
import { pino } from 'pino'
import type { AnsweredRequest } from '../http/answered-request.ts'
import type { Clock } from '../knock/ports/rooms.ts'
import { type OpenLog, timestamp } from './log.ts'

const { info, error } = pino.levels.values

/** Logs answered requests, those with a fault of ours as errors; members that are not known are left out. */
export function createRequestLog(
  { log, writeLine }: Pick<OpenLog, 'log' | 'writeLine'>,
  clock: Clock,
): (request: AnsweredRequest) => void {
  return ({ method, route, status, errcode, rule, origin, room, failure, detail, milliseconds }) => {
    const level = status >= 500 ? 'error' : 'info'
    if (!log.isLevelEnabled(level)) return
    const line = {
      level: level === 'info' ? info : error,
      time: timestamp(clock()),
      method,
      route,
      status,
      errcode,
      rule,
      origin,
      room,
      failure,
      detail,
      ms: Math.round(milliseconds * 100) / 100,
      msg: 'answered',
    }
    writeLine(JSON.stringify(line))
  }
}
