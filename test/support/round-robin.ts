/**
 * The smallest load balancer: each knock goes to the next replica in turn, and to the one after where a replica cannot
 * be reached or ends before it has answered.
 */
import type { SignedEvent } from './events.ts'
import type { Answer } from './http-client.ts'
import { type Resident, sendKnock } from './remote-knocker.ts'
import type { Identity } from './signing.ts'

export interface RoundRobin {
  /** @throws Error of the last replica where none answers */
  knock(origin: Identity, room: { readonly roomId: string }, event: SignedEvent): Promise<BalancedAnswer>
}

export interface BalancedAnswer extends Answer {
  /** Who answered. */
  readonly port: number
}

/** @param replicas those that there are now; read for every knock */
export function createRoundRobin(replicas: readonly Resident[]): RoundRobin {
  let turn = 0
  return {
    async knock(origin, room, event) {
      const first = turn++
      for (let tried = 1; ; tried++) {
        const replica = replicas[(first + tried - 1) % replicas.length]
        if (replica === undefined) throw new Error('there are no replicas')
        try {
          return { ...(await sendKnock(replica, origin, room, event)), port: replica.port }
        } catch (error) {
          if (tried >= replicas.length) throw error
        }
      }
    },
  }
}
