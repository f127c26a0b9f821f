/** `npm run bench`: installs and builds what is missing, then measures. Arguments go to bench/main.ts. */
import { spawn } from 'node:child_process'
import { buildOutdated, installMissing } from './bare-clone.mjs'

installMissing()
buildOutdated()

const args = ['--import', 'tsx', 'bench/main.ts', ...process.argv.slice(2)]
const bench = spawn(process.execPath, args, { stdio: 'inherit' })
// The terminal interrupts both; the benchmark tidies up, and this waits for it.
process.on('SIGINT', () => undefined)
process.on('SIGTERM', () => bench.kill('SIGTERM'))
bench.on('exit', (code) => process.exit(code ?? 1))
