/** This process as a holder of claims: as long as it gives signs of life nobody else delivers what it has claimed. */
import { randomUUID } from 'node:crypto'
import type { Database, Statement } from './database.ts'
import { WORKER_EXPIRES_S } from './delivery-functions.ts'

export interface ClaimHolder {
  readonly id: string
  /** Gives a sign of life, and from now on one every two seconds. Does nothing where it did so before. */
  begin(): Promise<void>
  /** Gives back everything that is held. */
  end(): Promise<void>
}

/** Several signs may fail before the claims are void. */
const EVERY_MS = (WORKER_EXPIRES_S * 1000) / 5

const SIGN: Statement = {
  name: 'worker-sign',
  text: `
    INSERT INTO workers (worker, seen_at) VALUES ($1, clock_timestamp())
    ON CONFLICT (worker) DO UPDATE SET seen_at = excluded.seen_at`,
}
const RELEASE: Statement = { name: 'worker-release', text: 'DELETE FROM claims WHERE worker = $1' }
const LEAVE: Statement = { name: 'worker-leave', text: 'DELETE FROM workers WHERE worker = $1' }

export function createClaimHolder(database: Database): ClaimHolder {
  const id = randomUUID()
  let timer: NodeJS.Timeout | undefined
  let beginning: Promise<unknown> | undefined

  return {
    id,
    async begin() {
      beginning ??= database.run(SIGN, [id]).catch((error) => {
        beginning = undefined
        throw error
      })
      await beginning
      if (timer !== undefined) return
      // A sign that fails is no loss: the next one follows.
      timer = setInterval(() => void database.runOnce(SIGN, [id]).catch(() => undefined), EVERY_MS)
      timer.unref()
    },
    async end() {
      clearInterval(timer)
      if (beginning === undefined) return
      // Where the database is away the claims end by themselves.
      await database
        .transactionOnce(async (run) => {
          await run(RELEASE, [id])
          await run(LEAVE, [id])
        })
        .catch(() => undefined)
    },
  }
}
