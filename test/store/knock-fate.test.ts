import { describe, expect, it } from 'vitest'
import type { Pdu, RoomEvent } from '../../src/matrix/pdu.ts'
import { answerNow, createKnockJudge, type KnockToPlace } from '../../src/store/knock-fate.ts'
import { CAROL, event, id, member } from './sample-room.ts'

/** A member of so many, each of whom came after the one before, at depths from 1. */
function crowd(size: number): readonly RoomEvent[] {
  return Array.from({ length: size }, (_, at) =>
    member(`m${at}`, `@m${at}:x.test`, 'join', { depth: at + 1, prev: at === 0 ? [] : [`m${at - 1}`] }),
  )
}

/** Events by id that count how often they are read. */
function counted(events: readonly RoomEvent[]) {
  const byId = new Map<string, Pdu>(events.map(({ eventId, pdu }) => [eventId, pdu]))
  const reading = {
    reads: 0,
    read(eventId: string) {
      reading.reads++
      return byId.get(eventId)
    },
  }
  return reading
}

function knockAt(name: string, depth: number, memberName: string): KnockToPlace {
  return { eventId: id(name), depth, inFile: false, member: { eventId: id(memberName), membership: 'leave' } }
}

describe('the judgement of knocks that an import meets', () => {
  it('walks no further up than the knocks stand', () => {
    const at = counted(crowd(10_000))
    const judge = createKnockJudge(9_990)
    expect(answerNow(judge(knockAt('k', 9_990, 'm9999')), at.read)).toBe('keep')
    expect(at.reads).toBeLessThanOrEqual(12)
  })

  it('walks over each event once, however many knocks there are', () => {
    const at = counted(crowd(1_000))
    const judge = createKnockJudge(1)
    for (let knocks = 0; knocks < 100; knocks++) {
      expect(answerNow(judge(knockAt(`k${knocks}`, 1, `m${999 - knocks}`)), at.read)).toBe('keep')
    }
    expect(at.reads).toBeLessThanOrEqual(1_100)
  })

  it('finds the knock behind events that were walked over for another one', () => {
    const chain = [
      event('first', { depth: 3, prev: ['k1', 'k2'] }),
      event('second', { depth: 4, prev: ['first'] }),
      member('left', CAROL, 'leave', { depth: 5, prev: ['second'] }),
      member('other', '@o:x.test', 'leave', { depth: 6, prev: ['second'] }),
      member('apart', '@p:x.test', 'leave', { depth: 7, prev: ['elsewhere'] }),
    ]
    const at = counted(chain)
    const judge = createKnockJudge(2)
    expect(answerNow(judge(knockAt('k1', 2, 'left')), at.read)).toBe('drop')
    expect(answerNow(judge(knockAt('k2', 2, 'other')), at.read)).toBe('drop')
    expect(answerNow(judge(knockAt('k2', 2, 'apart')), at.read)).toBe('keep')
  })

  it('believes the answer itself, whatever depth it states', () => {
    const at = counted([
      member('left', CAROL, 'leave', { depth: 1, prev: ['k'] }),
      member('joined', '@o:x.test', 'join', { depth: 60, prev: ['left'] }),
    ])
    const judge = createKnockJudge(50)
    expect(answerNow(judge(knockAt('other', 50, 'joined')), at.read)).toBe('keep')
    expect(answerNow(judge(knockAt('k', 50, 'left')), at.read)).toBe('drop')
  })
})
