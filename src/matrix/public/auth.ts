/** `matrix-knock/auth`: whether a room lets a user knock and a server take part, and what a knocking server is shown. */
export {
  type AuthEventCandidates,
  type AuthEventsResult,
  checkAuthEvents,
  selectAuthEvents,
} from '../auth/auth-events.ts'
export {
  authoriseKnock,
  authorisingServer,
  type KnockAuthState,
  type KnockToJudge,
  membershipOf,
} from '../auth/knock-rules.ts'
export type { Allowed, Rejected, Verdict } from '../auth/verdict.ts'
export { compileServerAcl, type ServerAcl } from '../server-acl.ts'
export { KNOCK_ROOM_STATE_TYPES, knockRoomState } from '../stripped-state.ts'
