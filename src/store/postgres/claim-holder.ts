/** This process as a holder of claims: as long as it gives signs of life nobody else delivers what it has claimed. */
import { randomUUID } from 'node:crypto'
import type { Database, Statement } from './database.ts'
import { WORKER_SIGN_S } from './delivery-functions.ts'

export interface ClaimHolder {
  readonly id: string
  /** From now on signs of life are given regularly; a claim is one by itself. */
  begin(): void
  /** Gives back everything that is held. */
  end(): Promise<void>
}

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

  return {
    id,
    begin() {
      // A sign that fails is no loss: the next one follows.
      timer ??= setInterval(() => void database.runOnce(SIGN, [id]).catch(() => undefined), WORKER_SIGN_S * 1000)
      timer.unref()
    },
    async end() {
      if (timer === undefined) return
      clearInterval(timer)
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
