import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { knockEvent, makeKnock, sendKnock } from '../support/remote-knocker.ts'
import { buildRoom, joins, opening, sets, type TestRoom } from '../support/test-room.ts'
import { type Cast, type Stage, setStage, until } from './stage.ts'

let directory: string
let room: TestRoom
let stage: Stage

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'matrix-knock-memory-'))
  const file = join(directory, 'room.json')
  const write = ({ alice, bob }: Cast): readonly TestRoom[] => {
    room = buildRoom('12', alice, [...opening(alice, '12'), sets(alice, 'm.room.name', { name: 'Garden' }), joins(bob)])
    writeFileSync(file, JSON.stringify(room.importFile()))
    return []
  }
  stage = await setStage(write, { store: { kind: 'memory', import: [file] } })
})
afterAll(async () => {
  await stage?.close()
  rmSync(directory, { recursive: true, force: true })
})

describe('the memory store', () => {
  it('has its rooms from the files that the configuration names, and takes and delivers knocks', async () => {
    const kim = stage.knocker('kim')
    expect(await makeKnock(stage.service, kim, room)).toMatchObject({ status: 200, body: { room_version: '12' } })
    const event = knockEvent(room, kim)
    expect((await sendKnock(stage.service, stage.remote.identity, room, event)).status).toBe(200)
    await until('delivery', () => stage.neighbour.received.some(({ eventIds }) => eventIds.includes(event.eventId)))
  })

  it('leaves no command to look into it', async () => {
    const { code, stderr } = await stage.service.command('rooms', 'list')
    expect([code, stderr]).toEqual([78, expect.stringMatching(/store\.kind/)])
  })
})
