/** Tells a story of scripts/demo: installs and builds what is missing, runs it, and ends with its exit code. */
import { spawn } from 'node:child_process'
import { buildOutdated, installMissing } from './bare-clone.mjs'

/** @param path of the story, from the root of the project */
export function tellStory(path) {
  installMissing()
  buildOutdated()
  const story = spawn(process.execPath, ['--import', 'tsx', path], { stdio: 'inherit' })
  // The terminal interrupts both; the story tidies up, and this waits for it.
  process.on('SIGINT', () => undefined)
  process.on('SIGTERM', () => story.kill('SIGTERM'))
  story.on('exit', (code) => process.exit(code ?? 1))
}
