/** What is told about each answered request, to the log and the metrics. Holds nothing of what people wrote. */
import type { AuthenticationFailure } from './authenticate.ts'
import type { RouteName } from './request-target.ts'

export interface AnsweredRequest {
  readonly method: string
  /** `other` for paths that are none of ours; undefined members below were not known when it was answered. */
  readonly route: RouteName | 'other'
  readonly status: number
  readonly errcode: string | undefined
  /** The rule that refused. */
  readonly rule: string | undefined
  /** The authenticated server, or the one that the request claims to come from. */
  readonly origin: string | undefined
  readonly room: string | undefined
  readonly failure: AuthenticationFailure | undefined
  /** Why keys could not be had. Told to the operator alone. */
  readonly detail: string | undefined
  readonly milliseconds: number
}

export interface RequestObserver {
  answered(request: AnsweredRequest): void
  /** A bug: the remote was told 500 and nothing more. */
  failed(error: unknown): void
  /** A request of our own to the homeserver came in here. */
  cameBack(): void
}
