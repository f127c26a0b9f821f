/**
 * What a failure of the database means: whether the same may be tried again, and what the operator is told. The words of
 * the database and of the system name hosts, users and databases: they are told only where they cannot.
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */

/**
 * `unreachable`: there is or was no connection; what was under way may have happened or not. `overtaken`: another
 * transaction was in the way, nothing happened. `refused`: nothing happened, and the same would fail again.
 */
export type FailureKind = 'unreachable' | 'overtaken' | 'refused'

/** What the database or the way to it did not do; its message is for the operator. */
export class DatabaseFailure extends Error {
  readonly kind: FailureKind

  constructor(kind: FailureKind, reason: string) {
    super(reason)
    this.kind = kind
  }
}

const SHUTDOWN = new Set(['57P01', '57P02', '57P03', '57P05', '25P03'])
const CROWDED = '53300'
const READ_ONLY = '25006'
const OVERTAKEN = new Set(['40001', '40P01'])
/** Their messages name users, hosts or databases. */
const TELLING = /^(08|28|3D)/
/** Codes of the system, such as EPIPE, have no digit. */
const SQLSTATE = /^(?=.*[0-9])[0-9A-Z]{5}$/

const REASONS: Readonly<Record<string, string>> = {
  '28P01': 'the database refused the password',
  '28000': 'the database refused the user',
  '3D000': 'there is no such database on the server',
  '57014': 'a statement took longer than store.statement_timeout_seconds',
  '53300': 'the database has no connection left for us',
  ECONNREFUSED: 'the database refuses connections',
  ECONNRESET: 'the connection to the database was cut',
  EPIPE: 'the connection to the database was cut',
  ETIMEDOUT: 'the database does not answer',
  ENOTFOUND: 'the name of the database server cannot be resolved',
  EAI_AGAIN: 'the name of the database server cannot be resolved now',
}

/** What an error of the driver means. */
export function failureOf(error: unknown): DatabaseFailure {
  if (error instanceof DatabaseFailure) return error
  const { code, message } = error as { readonly code?: unknown; readonly message: string }
  if (typeof code !== 'string') return new DatabaseFailure('unreachable', 'the connection to the database was lost')
  return new DatabaseFailure(kindOf(code), reasonOf(code, message))
}

function kindOf(code: string): FailureKind {
  if (!SQLSTATE.test(code) || code.startsWith('08') || SHUTDOWN.has(code)) return 'unreachable'
  if (code === CROWDED || code === READ_ONLY) return 'unreachable'
  return OVERTAKEN.has(code) ? 'overtaken' : 'refused'
}

function reasonOf(code: string, message: string): string {
  const known = REASONS[code]
  if (known !== undefined) return `${known} (${code})`
  if (!SQLSTATE.test(code) || TELLING.test(code)) return `the database cannot be used (${code})`
  return `the database says: ${message} (${code})`
}
