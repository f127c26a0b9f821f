/** What every store does, whatever it is made of: run against each implementation. */
import { afterEach, beforeEach, describe, expect } from 'vitest'
import type { Store } from '../../src/knock/ports/store.ts'
import { attemptContract } from './contract-attempts.ts'
import { claimContract } from './contract-claims.ts'
import { commitContract } from './contract-commits.ts'
import { copyContract } from './contract-copies.ts'
import { deliveryContract } from './contract-deliveries.ts'
import { flawContract } from './contract-flaws.ts'
import { handedOverContract } from './contract-handed-over.ts'
import { historyContract } from './contract-history.ts'
import { importContract } from './contract-imports.ts'
import { recordContract } from './contract-records.ts'
import { refusalContract } from './contract-refusals.ts'
import { reimportContract } from './contract-reimports.ts'
import { roomContract } from './contract-rooms.ts'
import { stringContract } from './contract-strings.ts'

export interface TestStore extends Store {
  prune(): Promise<void>
}

/** A fresh store and its clock, for one test. */
export interface StoreUnderTest {
  readonly store: TestStore
  /** Moves the store's clock. */
  advance(ms: number): void
  now(): number
}

export interface StoreKind {
  readonly name: string
  /** Opens an empty store that keeps history for a day, and 20 refusals of 16 KiB. */
  open(clock: () => number): Promise<{ store: TestStore; dispose: () => Promise<void> }>
}

export const DAY = 24 * 60 * 60 * 1000
export const MAX_REFUSALS = 20
export const REFUSAL_BYTES = 16 * 1024

export function storeContract(kind: StoreKind): void {
  describe(kind.name, () => {
    let now = 1_700_000_000_000
    let opened: Awaited<ReturnType<StoreKind['open']>>
    const subject: StoreUnderTest = {
      get store() {
        return opened.store
      },
      advance(ms) {
        now += ms
      },
      now: () => now,
    }
    beforeEach(async () => {
      opened = await kind.open(() => now)
    })
    afterEach(async () => {
      try {
        expect(await opened.store.flaws()).toEqual([])
      } finally {
        await opened.dispose()
      }
    })

    roomContract(subject)
    stringContract(subject)
    commitContract(subject)
    handedOverContract(subject)
    attemptContract(subject)
    historyContract(subject)
    importContract(subject)
    reimportContract(subject)
    copyContract(subject)
    flawContract(subject)
    deliveryContract(subject)
    claimContract(subject)
    refusalContract(subject)
    recordContract(subject)
  })
}
