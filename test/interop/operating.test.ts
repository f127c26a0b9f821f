/** docs/operating.md, followed word by word, from a running homeserver to a knock in one of its rooms. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CertificateAuthority, createCertificateAuthority } from '../support/certificates.ts'
import { good } from './support/beside-stage.ts'
import { startDendrite } from './support/dendrite.ts'
import type { Homeserver } from './support/homeserver.ts'
import { readSteps, type Step } from './support/operating-page.ts'
import { type Operator, startOperator } from './support/operator.ts'
import { versionsOf } from './support/room-versions.ts'
import { SEEN_WITHIN_MS, seenMember } from './support/seeing-knocks.ts'
import { startSynapse } from './support/synapse.ts'

const START = { synapse: startSynapse, dendrite: startDendrite } as const
const SECTION = { synapse: 'Beside Synapse', dendrite: 'Beside Dendrite' } as const

let authority: CertificateAuthority
let knocking: Homeserver
beforeAll(async () => {
  authority = createCertificateAuthority()
  knocking = await startSynapse({ authority, host: '127.0.0.3' })
})
afterAll(() => knocking?.stop())

describe.each(['synapse', 'dendrite'] as const)('the page for operators of %s', (kind) => {
  let resident: Homeserver
  let operator: Operator
  let steps: readonly Step[]
  beforeAll(async () => {
    resident = await START[kind]({ authority, host: '127.0.0.2', federationLimits: 'usual' })
    operator = await startOperator(resident, authority.cert)
    steps = await readSteps(SECTION[kind])
  })
  afterAll(async () => {
    await operator?.close()
    await resident?.stop()
  })

  it('leads to a service that doctor finds nothing wrong with, and to a knock that moderators see', async () => {
    const written = new Map<string, string>()
    const last = steps.at(-1)
    for (const step of steps.slice(0, -1)) written.set(step.title, await follow(operator, step))
    const doctor = written.get('5. Have it checked')?.trimEnd().split('\n') ?? []
    expect(doctor.length).toBeGreaterThan(5)
    for (const line of doctor) expect(line).toMatch(/^(?:ok|note) /)

    const [moderator, user] = [await resident.register('moderator'), await knocking.register(`of-${kind}`)]
    const version = versionsOf(kind).at(-1) ?? '11'
    const roomId = await moderator.createRoom({ version, joinRule: 'knock' })
    const watch = await moderator.watch()
    good(await user.knock(roomId, resident.name, 'let me in'))
    const by = Date.now() + SEEN_WITHIN_MS
    const event = await seenMember(watch, { userId: user.userId, membership: 'knock', by })
    expect(await follow(operator, last as Step)).toContain(String(event.event_id))
  })

  it('has no line that was not carried out', () => {
    expect(operator.done).toEqual(steps.flatMap(({ blocks }) => blocks.flatMap(({ lines }) => lines)))
  })
})

async function follow(operator: Operator, { blocks }: Step): Promise<string> {
  const written: string[] = []
  for (const block of blocks) written.push(await operator.follow(block))
  return written.join('')
}
