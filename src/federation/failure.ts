/** Why something about another server could not be had, and whether that says anything about the other server. */

export interface Failure {
  readonly kind: 'failed'
  readonly reason: string
  /**
   * It failed for want of something of ours, which says nothing about the other side. `missing`: descriptors, memory, a name
   * server, worth another try soon. `crowded`: it had to give way to others.
   */
  readonly lack?: Lack
}

export type Lack = 'missing' | 'crowded'

/** Codes of the system for what a process or a machine has no more of. */
const MISSING = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL'])

/** Whether an error of the system is about what this machine lacks. @param code `EMFILE` and the like */
export function isMissing(code: string): boolean {
  return MISSING.has(code)
}

/** A failure, with its lack where there is one. */
export function failure(reason: string, lack: Lack | undefined): Failure {
  return lack === undefined ? { kind: 'failed', reason } : { kind: 'failed', reason, lack }
}
