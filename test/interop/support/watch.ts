/**
 * What a user's client is told by `/sync`, from one moment on.
 * https://spec.matrix.org/latest/client-server-api/#syncing
 */
import type { Answer } from '../../support/http-client.ts'
import type { JsonRecord } from '../../support/signing.ts'

/** An event that a client was told. */
export interface SeenEvent {
  readonly roomId: string
  /** The user's own place in the room, which says how much they are told. */
  readonly section: 'join' | 'invite' | 'knock' | 'leave'
  readonly event: JsonRecord
}

export interface Watch {
  /**
   * Waits for an event; one that was told since the watch began counts.
   * @param withinMs how long to wait at most, in milliseconds
   * @throws Error with what was told instead, where it does not come
   */
  until(what: string, isIt: (seen: SeenEvent) => boolean, withinMs: number): Promise<SeenEvent>
  /** Asks once, without waiting. @returns all that was told since the watch began */
  seen(): Promise<readonly SeenEvent[]>
}

type Call = (method: string, path: string) => Promise<Answer>

const FILTER = JSON.stringify({ presence: { types: [] }, room: { timeline: { limit: 100 }, ephemeral: { types: [] } } })
const POLL_MS = 5000

export async function startWatch(call: Call): Promise<Watch> {
  const told: SeenEvent[] = []
  let since = ''
  const sync = async (timeoutMs: number): Promise<readonly SeenEvent[]> => {
    const query = new URLSearchParams({ filter: FILTER, timeout: String(timeoutMs), ...(since !== '' && { since }) })
    const answer = await call('GET', `/_matrix/client/v3/sync?${query}`)
    if (answer.status !== 200) throw new Error(`/sync answered ${answer.status} ${answer.text}`)
    since = String(answer.body.next_batch)
    return eventsOf(answer.body)
  }
  await sync(0)
  return {
    async until(what, isIt, withinMs) {
      const deadline = Date.now() + withinMs
      let unread = told.filter(isIt)
      while (unread.length === 0) {
        const left = deadline - Date.now()
        if (left <= 0) throw new Error(`not told within ${withinMs} ms: ${what}; but: ${JSON.stringify(told)}`)
        const news = await sync(Math.min(left, POLL_MS))
        told.push(...news)
        unread = news.filter(isIt)
      }
      return unread[0] as SeenEvent
    },
    async seen() {
      told.push(...(await sync(0)))
      return told
    },
  }
}

function eventsOf(body: JsonRecord): readonly SeenEvent[] {
  const rooms = (body.rooms ?? {}) as JsonRecord
  return (['join', 'invite', 'knock', 'leave'] as const).flatMap((section) =>
    Object.entries((rooms[section] ?? {}) as JsonRecord).flatMap(([roomId, room]) =>
      Object.values(room as JsonRecord)
        .flatMap((part) => ((part as JsonRecord | null)?.events ?? []) as readonly JsonRecord[])
        .map((event) => ({ roomId, section, event })),
    ),
  )
}
