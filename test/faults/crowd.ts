/** A crowd that knocks without a pause: each of its members with one new user after the other, until all are let know. */
import { setTimeout as pause } from 'node:timers/promises'
import type { SignedEvent } from '../support/events.ts'
import { knockEvent } from '../support/remote-knocker.ts'
import type { Identity, JsonRecord } from '../support/signing.ts'
import { person, type TestRoom } from '../support/test-room.ts'

export interface CrowdOptions {
  readonly room: TestRoom
  /** Of the knockers. */
  readonly server: Identity
  /** Members that knock at the same time. */
  readonly size: number
  /** Sends a knock; the status of its answer. Where there is none it throws. */
  readonly send: (event: SignedEvent) => Promise<number>
  readonly content?: JsonRecord
}

export interface Crowd {
  /** The user of each event that was answered 200. */
  readonly accepted: ReadonlyMap<string, string>
  /** How often each status came, and each error that came in the place of one. */
  readonly answers: ReadonlyMap<number | string, number>
  /** Waits until so many more knocks were answered 200. */
  more(count: number): Promise<void>
  /** Nobody begins another knock; waits for those that were begun. */
  leave(): Promise<void>
}

const AGAIN_AFTER_MS = 20
const PATIENCE_MS = 40_000

let crowds = 0

/** What was not answered 200 is sent again, the same event, as its server may. */
export function gatherCrowd(options: CrowdOptions): Crowd {
  const crowd = ++crowds
  const accepted = new Map<string, string>()
  const answers = new Map<number | string, number>()
  let leaving = false
  let failure: unknown

  const knockUntilAccepted = async (event: SignedEvent, userId: string): Promise<void> => {
    const deadline = Date.now() + PATIENCE_MS
    for (;;) {
      const answer = await options.send(event).catch((error: NodeJS.ErrnoException) => error.code ?? error.message)
      answers.set(answer, (answers.get(answer) ?? 0) + 1)
      if (answer === 200) break
      if (Date.now() > deadline) throw new Error(`${userId} was not let know within ${PATIENCE_MS} ms: ${answer}`)
      await pause(AGAIN_AFTER_MS)
    }
    accepted.set(event.eventId, userId)
  }
  const knockOn = async (member: number): Promise<void> => {
    for (let turn = 0; !leaving; turn++) {
      const who = person(`crowd${crowd}-${member}-${turn}`, options.server)
      const content = { membership: 'knock', ...options.content }
      await knockUntilAccepted(knockEvent(options.room, who, { content }), who.id)
    }
  }
  const members = Promise.all(Array.from({ length: options.size }, (_, member) => knockOn(member))).catch((error) => {
    failure = error
  })

  return {
    accepted,
    answers,
    async more(count) {
      const wanted = accepted.size + count
      const deadline = Date.now() + PATIENCE_MS
      while (accepted.size < wanted && failure === undefined) {
        if (Date.now() > deadline) throw new Error(`${wanted - accepted.size} of ${count} knocks were not answered`)
        await pause(5)
      }
      if (failure !== undefined) throw failure
    },
    async leave() {
      leaving = true
      await members
      if (failure !== undefined) throw failure
    },
  }
}
