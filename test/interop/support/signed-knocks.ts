/** Knocks of the server whose requests are signed here, at the resident's public name. */
import type { SignedEvent } from '../../support/events.ts'
import type { Answer } from '../../support/http-client.ts'
import type { JsonRecord } from '../../support/signing.ts'
import type { Person } from '../../support/test-room.ts'
import { type BesideRoom, good, type Stage } from './beside-stage.ts'
import { draftKnock } from './own-requests.ts'

export function askTemplate({ remote, resident }: Stage, roomId: string, who: Person): Promise<Answer> {
  return remote.makeKnock(resident, roomId, who)
}

/** A signed knock from a template of the service. @throws Error where it gives none */
export async function templateFor(stage: Stage, { roomId, kind }: BesideRoom, who: Person): Promise<SignedEvent> {
  const answer = await askTemplate(stage, roomId, who)
  good(answer)
  return stage.remote.sign(answer.body.event as JsonRecord, kind.version)
}

/** A signed knock for which nobody was asked. */
export async function ownDraft(
  stage: Stage,
  { roomId, kind, moderator }: BesideRoom,
  who: Person,
): Promise<SignedEvent> {
  return stage.remote.sign(await draftKnock(stage.resident, roomId, moderator.userId, who), kind.version)
}

export function sendTemplate(
  stage: Stage,
  { roomId }: { readonly roomId: string },
  knock: SignedEvent,
): Promise<Answer> {
  return stage.remote.sendKnock(stage.resident, roomId, knock)
}
