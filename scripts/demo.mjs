/** `npm run demo`: installs and builds what is missing, then tells the story of scripts/demo/story.ts. */
import { spawn } from 'node:child_process'
import { buildOutdated, installMissing } from './bare-clone.mjs'

installMissing()
buildOutdated()

const story = spawn(process.execPath, ['--import', 'tsx', 'scripts/demo/story.ts'], { stdio: 'inherit' })
// The terminal interrupts both; the story tidies up, and this waits for it.
process.on('SIGINT', () => undefined)
process.on('SIGTERM', () => story.kill('SIGTERM'))
story.on('exit', (code) => process.exit(code ?? 1))
