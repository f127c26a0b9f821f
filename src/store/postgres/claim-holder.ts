/** This process as a holder of claims: as long as it gives signs of life nobody else delivers what it has claimed. */
import { randomUUID } from 'node:crypto'
import type { Database, Statement } from './database.ts'
import { WORKER_SIGN_S } from './delivery-functions.ts'

export interface ClaimHolder {
  readonly id: string
  /** From now on signs of life are given regularly. */
  begin(): void
  /** Gives back everything that is held. */
  end(): Promise<void>
}

const SIGN: Statement = {
  name: 'claims-sign',
  text: 'UPDATE claims SET seen_at = clock_timestamp() WHERE worker = $1',
}
const RELEASE: Statement = { name: 'claims-release', text: 'DELETE FROM claims WHERE worker = $1' }

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
      await database.runOnce(RELEASE, [id]).catch(() => undefined)
    },
  }
}
