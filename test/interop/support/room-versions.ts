/** Which versions of rooms the homeservers of this run have: a Dendrite that `DENDRITE_BIN` names may be older or newer. */
import { execFileSync } from 'node:child_process'
import { KNOCKABLE_VERSIONS } from '../../support/events.ts'
import type { Homeserver } from './homeserver.ts'
import { DENDRITE_PROGRAM } from './install.ts'

export type KnockableVersion = (typeof KNOCKABLE_VERSIONS)[number]

/** The first Dendrite with a version of rooms, where not every one that these tests were run with has it. */
const SINCE_DENDRITE: Partial<Record<KnockableVersion, string>> = { '12': '0.15.0' }

let told: string | undefined

/** What Dendrite says of itself: `0.13.8`. @throws Error where it says something else */
export function dendriteVersion(): string {
  told ??= execFileSync(DENDRITE_PROGRAM, ['-version'], { encoding: 'utf8' }).trim()
  if (!/^\d+\.\d+\.\d+/.test(told))
    throw new Error(`${DENDRITE_PROGRAM} -version says "${told}", no version of Dendrite`)
  return told
}

/** Whether rooms of a version can be made there. */
export function hasVersion(kind: Homeserver['kind'], version: KnockableVersion): boolean {
  const since = kind === 'dendrite' ? SINCE_DENDRITE[version] : undefined
  return since === undefined || isAtLeast(dendriteVersion(), since)
}

/** Versions in which a homeserver can have rooms at which people knock. */
export function versionsOf(kind: Homeserver['kind']): readonly KnockableVersion[] {
  return KNOCKABLE_VERSIONS.filter((version) => hasVersion(kind, version))
}

function isAtLeast(version: string, least: string): boolean {
  const [have, want] = [version, least].map((text) => text.split(/[.+-]/).slice(0, 3).map(Number))
  const first = want?.findIndex((part, at) => have?.[at] !== part) ?? -1
  return first < 0 || (have?.[first] ?? 0) > (want?.[first] ?? 0)
}
