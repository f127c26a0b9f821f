import { describe, expect, it } from 'vitest'
import { exportRoom } from '../../src/rooms/export-room.ts'
import { id, importRoom, ROOM, sampleState, state } from '../store/sample-room.ts'
import { createMemoryStore } from '../support/memory-store/memory-store.ts'

describe('the export of a room', () => {
  it('is refused where an event that keeps others out had to be left out: the file would let them in', async () => {
    const store = createMemoryStore({ clock: Date.now })
    const acl = state('acl', 'm.room.server_acl', { allow: [] })
    await importRoom(store, { state: [...sampleState(), acl], unverified: ['acl'] })
    expect(await exportRoom(store, ROOM)).toMatchObject({ kind: 'file' })
    await store.settle(ROOM, id('acl'), 'wrong')
    expect(await exportRoom(store, ROOM)).toEqual({
      kind: 'refused',
      reason: expect.stringContaining('m.room.server_acl'),
    })
  })
})
