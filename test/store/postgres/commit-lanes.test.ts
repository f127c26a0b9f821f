import { describe, expect, it } from 'vitest'
import type { RoomId } from '../../../src/matrix/identifiers.ts'
import { createCommitLanes, type RoomItems } from '../../../src/store/postgres/commit-lanes.ts'

const room = (name: string) => `!${name}:here.test` as RoomId

/** Transactions that end when they are told to; the outcome of an item is the item and the number of its transaction. */
function recorder() {
  const begun: { rooms: string[]; items: string[]; end: (locked?: readonly string[]) => void; fail: () => void }[] = []
  const begin = (rooms: readonly RoomItems<string>[]) =>
    new Promise<readonly (readonly string[] | 'locked')[]>((resolve, reject) => {
      const number = begun.length
      begun.push({
        rooms: rooms.map(({ roomId }) => roomId.slice(1, -10)),
        items: rooms.flatMap(({ items }) => items),
        end: (locked = []) =>
          resolve(
            rooms.map(({ roomId, items }) =>
              locked.includes(roomId.slice(1, -10)) ? 'locked' : items.map((item) => `${item} in ${number}`),
            ),
          ),
        fail: () => reject(new Error('lost')),
      })
    })
  const commit = createCommitLanes<string, string>({
    inRooms: begin,
    inRoom: async (one) => (await begin([one]))[0] as readonly string[],
  })
  const settled = () => new Promise((resolve) => setImmediate(resolve))
  return { begun, commit, settled }
}

describe('knocks on their way to PostgreSQL', () => {
  it('share a transaction with those that came in during the ones before, whatever their rooms', async () => {
    const { begun, commit, settled } = recorder()
    const all = ['a', 'b', 'c', 'd', 'e'].map((name) => commit(room(name), name))
    expect(begun.map(({ items }) => items)).toEqual([['a'], ['b']])
    begun[0]?.end()
    await settled()
    expect(begun[2]?.items).toEqual(['c', 'd', 'e'])
    begun[1]?.end()
    begun[2]?.end()
    expect(await Promise.all(all)).toEqual(['a in 0', 'b in 1', 'c in 2', 'd in 2', 'e in 2'])
  })

  it('of one room are never in two transactions at once, and keep their order', async () => {
    const { begun, commit, settled } = recorder()
    const all = ['1', '2', '3'].map((item) => commit(room('a'), item))
    expect(begun.map(({ items }) => items)).toEqual([['1']])
    begun[0]?.end()
    await settled()
    expect(begun[1]?.items).toEqual(['2', '3'])
    begun[1]?.end()
    expect(await Promise.all(all)).toEqual(['1 in 0', '2 in 1', '3 in 1'])
  })

  it('wait alone where somebody else holds their room', async () => {
    const { begun, commit, settled } = recorder()
    const held = commit(room('held'), 'h')
    begun[0]?.end(['held'])
    await settled()
    expect(begun[1]).toMatchObject({ rooms: ['held'], items: ['h'] })
    const later = commit(room('held'), 'later')
    for (const name of ['a', 'b', 'c']) {
      const other = commit(room(name), name)
      const number = begun.length - 1
      begun.at(-1)?.end()
      expect(await other).toBe(`${name} in ${number}`)
    }
    begun[1]?.end()
    expect(await held).toBe('h in 1')
    await settled()
    expect(begun.at(-1)?.items).toEqual(['later'])
    begun.at(-1)?.end()
    await later
  })

  it('are 50 at most in one transaction, and a room that everybody knocks on leaves others their turn', async () => {
    const { begun, commit, settled } = recorder()
    const firsts = ['x', 'y'].map((name) => commit(room(name), name))
    const many = Array.from({ length: 120 }, (_, at) => commit(room('many'), `m${at}`))
    const other = commit(room('other'), 'o')
    begun[0]?.end()
    await settled()
    expect(begun[2]).toMatchObject({ rooms: ['many'] })
    expect(begun[2]?.items).toHaveLength(50)
    begun[2]?.end()
    await settled()
    expect(begun[3]?.rooms).toEqual(['other', 'many'])
    expect(begun[3]?.items).toHaveLength(50)
    for (let at = 1; at < begun.length; at++) {
      begun[at]?.end()
      await settled()
    }
    expect(await other).toBe('o in 3')
    expect(await Promise.all([...firsts, ...many])).toHaveLength(122)
  })

  it('fail together where their transaction does, and those behind them go on', async () => {
    const { begun, commit, settled } = recorder()
    const [first, second] = [commit(room('a'), 'a'), commit(room('a'), 'later')]
    begun[0]?.fail()
    await expect(first).rejects.toThrow('lost')
    await settled()
    begun[1]?.end()
    expect(await second).toBe('later in 1')
  })
})
