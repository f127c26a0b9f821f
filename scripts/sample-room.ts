/**
 * Writes a small signed room for trying the service by hand: its only member is Alice of the server whose key it is given.
 *
 *     npx tsx scripts/sample-room.ts --server-name example.org --signing-key ./data/signing.key --output room.json
 *     npx matrix-knock rooms import room.json -c config.yaml
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { KNOCKABLE_VERSIONS } from '../test/support/events.ts'
import { createIdentity } from '../test/support/signing.ts'
import { buildRoom, opening, person, sets } from '../test/support/test-room.ts'

const { values } = parseArgs({
  options: {
    'server-name': { type: 'string' },
    'signing-key': { type: 'string' },
    'room-version': { type: 'string', default: '12' },
    output: { type: 'string', short: 'o' },
  },
})
const version = KNOCKABLE_VERSIONS.find((known) => known === values['room-version'])
const { 'server-name': serverName, 'signing-key': keyFile, output } = values
if (serverName === undefined || keyFile === undefined || output === undefined || version === undefined) {
  console.error(`--server-name NAME --signing-key FILE --output FILE [--room-version ${KNOCKABLE_VERSIONS.join('|')}]`)
  process.exit(2)
}

const [algorithm, keyVersion, seed = ''] = readFileSync(keyFile, 'utf8').trim().split(/\s+/)
const alice = person('alice', createIdentity(serverName, `${algorithm}:${keyVersion}`, Buffer.from(seed, 'base64')))
const room = buildRoom(version, alice, [...opening(alice, version), sets(alice, 'm.room.name', { name: 'Garden' })])
writeFileSync(output, JSON.stringify(room.importFile(), null, 2), { flag: 'wx' })
console.log(`${output}: room ${room.roomId}, version ${version}, of ${alice.id}; anybody may knock.`)
