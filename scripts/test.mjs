/** `npm test`: installs what is missing, then runs the tests. Arguments go to vitest: `npm test -- test/matrix`. */
import { installMissing, succeeds } from './bare-clone.mjs'

installMissing()
process.exitCode = succeeds('npx', ['vitest', 'run', ...process.argv.slice(2)]) ? 0 : 1
