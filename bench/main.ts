/**
 * `npm run bench`: what the built service costs, beside the least that such a server can cost, measured in the same run.
 *
 * Usage: npm run bench [-- PART… --json FILE]
 */
import { writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import type { Figure, Part } from './figures.ts'
import { cleanUpAtExit } from './owned.ts'
import { besideHomeserverPart } from './parts/beside-homeserver.ts'
import { ed25519Part } from './parts/ed25519.ts'
import { fanoutPart } from './parts/fanout.ts'
import { firstKnockPart } from './parts/first-knock.ts'
import { hostileBodiesPart } from './parts/hostile-bodies.ts'
import { hostileFatPart } from './parts/hostile-fat.ts'
import { hostileNewcomersPart } from './parts/hostile-newcomers.ts'
import { hostileRoomsPart } from './parts/hostile-rooms.ts'
import { hostileSlowPart } from './parts/hostile-slow.ts'
import { makeKnockPart } from './parts/make-knock.ts'
import { manyRoomsPart } from './parts/many-rooms.ts'
import { memoryPart } from './parts/memory.ts'
import { roomGrowthPart } from './parts/room-growth.ts'
import { roomSizePart } from './parts/room-size.ts'
import { sendKnockPart } from './parts/send-knock.ts'
import { sendKnockPostgresPart } from './parts/send-knock-postgres.ts'
import { startPart } from './parts/start.ts'
import { twoReplicasPart } from './parts/two-replicas.ts'
import { jsonObject, table } from './report.ts'

const PARTS: readonly Part[] = [
  makeKnockPart,
  sendKnockPart,
  sendKnockPostgresPart,
  twoReplicasPart,
  roomSizePart,
  roomGrowthPart,
  manyRoomsPart,
  fanoutPart,
  besideHomeserverPart,
  firstKnockPart,
  memoryPart,
  startPart,
  ed25519Part,
  hostileBodiesPart,
  hostileNewcomersPart,
  hostileRoomsPart,
  hostileFatPart,
  hostileSlowPart,
]
const MOST_MS = 30 * 60_000

/** A part, or all whose names begin so: `hostile`. */
function partsCalled(name: string): readonly Part[] {
  const own = PARTS.filter((part) => part.name === name)
  return own.length > 0 ? own : PARTS.filter((part) => part.name.startsWith(`${name}_`))
}

const { values, positionals } = parseArgs({ options: { json: { type: 'string' } }, allowPositionals: true })
const unknown = positionals.filter((name) => partsCalled(name).length === 0)
if (unknown.length > 0) {
  console.error(`No part is called ${unknown.join(', ')}; there are ${PARTS.map(({ name }) => name).join(', ')}.`)
  process.exit(2)
}

cleanUpAtExit()
setTimeout(() => {
  console.error(`The benchmark did not end within ${MOST_MS / 60_000} minutes.`)
  process.exit(1)
}, MOST_MS).unref()

const figures: Figure[] = []
const asked = new Set(positionals.flatMap(partsCalled))
for (const part of PARTS) {
  if (positionals.length > 0 && !asked.has(part)) continue
  const start = performance.now()
  figures.push(...(await part.measure()))
  console.error(`${part.name}: ${((performance.now() - start) / 1000).toFixed(0)} s`)
}
console.log(
  `\n${table(figures)}\n\nLoad average: ${loadavg()
    .map((load) => load.toFixed(1))
    .join(', ')}`,
)
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(jsonObject(figures), null, 2)}\n`)
process.exit(0)
