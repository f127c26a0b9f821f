/** Before the tests with real proxies: without one of them there is nothing to say about it, so that is a failure. */
import { findProgram, PACKAGES, type ProgramName } from './programs.ts'

export default function requirePrograms(): void {
  const missing = (Object.keys(PACKAGES) as ProgramName[]).filter((name) => findProgram(name) === undefined)
  if (missing.length === 0) return
  const packages = missing.map((name) => PACKAGES[name]).join(' ')
  throw new Error(
    `not installed: ${missing.join(', ')}. On Debian: apt-get install -y --no-install-recommends ${packages}`,
  )
}
