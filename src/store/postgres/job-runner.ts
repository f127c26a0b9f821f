/** Runs the jobs that every store on disk has; a job here is one transaction of its own. */
import type { JobRunner } from '../jobs.ts'
import { DatabaseFailure } from './failures.ts'

export type Handlers<Jobs extends { [K in keyof Jobs]: { input: unknown; output: unknown } }> = {
  readonly [K in keyof Jobs]: (input: Jobs[K]['input']) => Promise<Jobs[K]['output']>
}

export function createJobRunner<Jobs extends { [K in keyof Jobs]: { input: unknown; output: unknown } }>(
  handlers: Handlers<Jobs>,
): JobRunner<Jobs> {
  return {
    async run(kind, input) {
      try {
        return { ok: true, output: await handlers[kind](input) }
      } catch (error) {
        if (error instanceof DatabaseFailure) return { ok: false, reason: error.message }
        throw error
      }
    },
    async demand(kind, input) {
      try {
        return await handlers[kind](input)
      } catch (error) {
        if (error instanceof DatabaseFailure) throw new Error(`the store could not write: ${error.message}`)
        throw error
      }
    },
  }
}
