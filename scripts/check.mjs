/** `npm run check`: everything that must hold before a change is shared. Goes on after a failure, and names all at the end. */
import { installMissing, succeeds } from './bare-clone.mjs'

const STEPS = [
  ['format and lint', 'npx', ['biome', 'check', '--error-on-warnings', '.']],
  ['types', 'npx', ['tsc', '--noEmit']],
  ['generated files in sync', 'npm', ['run', '--silent', 'generate', '--', '--check']],
  ['tests and architecture', 'npm', ['test', '--silent']],
]

installMissing()
const failed = STEPS.filter(([name, command, args]) => {
  console.log(`\n== ${name}: ${command} ${args.join(' ')}`)
  return !succeeds(command, args)
})
console.log(failed.length === 0 ? '\nAll checks hold.' : `\nFailed: ${failed.map(([name]) => name).join(', ')}`)
process.exitCode = failed.length === 0 ? 0 : 1
