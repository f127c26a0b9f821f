import { afterEach, describe, expect, it } from 'vitest'
import { exchange } from '../support/http-client.ts'
import { makeKnockPath } from '../support/remote-knocker.ts'
import { authorization } from '../support/signing.ts'
import { type Listener, openListener } from './listener-fixture.ts'

let listener: Listener
afterEach(() => listener.close())

async function ask(headers: readonly string[]): Promise<unknown> {
  const { room, kim, remote, resident } = listener
  const path = makeKnockPath(room.roomId, kim.id, '10')
  const line = authorization(remote, { method: 'GET', uri: path, destination: resident.name })
  const port = await listener.listen()
  const { status, body } = await exchange(port, { method: 'GET', path, headers: ['authorization', line, ...headers] })
  return [status, body.errcode]
}

describe('a request with the marker of our own', () => {
  it('went round in a circle: 500, and the operator is told', async () => {
    listener = await openListener({ ownMarker: 'mine' })
    expect(await ask(['X-Matrix-Knock', 'mine'])).toEqual([500, 'M_UNKNOWN'])
    expect(listener.failures).toEqual(['came back'])
    expect(listener.keys.asked).toEqual([])
  })

  it.each([
    ['another service', 'mine', 'theirs'],
    ['nobody in particular', 'mine', ''],
    ['nobody, where there is no homeserver', undefined, undefined],
  ])('is none of ours with the marker of %s', async (_whose, ownMarker, marker) => {
    listener = await openListener({ ownMarker })
    const headers = marker === undefined ? [] : ['x-matrix-knock', marker]
    expect(await ask(headers)).toEqual([200, undefined])
    expect(listener.failures).toEqual([])
  })

  it.each([[['X-Matrix-Knock', 'theirs, mine']], [['X-Matrix-Knock', 'mine', 'x-matrix-knock', 'theirs']]])(
    'went round in a circle through other processes of ours, too: %j',
    async (headers) => {
      listener = await openListener({ ownMarker: 'mine' })
      expect(await ask(headers)).toEqual([500, 'M_UNKNOWN'])
      expect(listener.failures).toEqual(['came back'])
    },
  )

  it('is seen by its answer to have come here, whoever has marked it', async () => {
    listener = await openListener({ ownMarker: 'm'.repeat(43) })
    const port = await listener.listen()
    const answered = async (marker: string) => {
      const request = {
        method: 'GET',
        path: '/_matrix/federation/v1/make_knock/a/b',
        headers: ['x-matrix-knock', marker],
      }
      const { status, headers } = await exchange(port, request)
      return [status, headers['x-matrix-knock']]
    }
    expect(await answered('d'.repeat(43))).toEqual([401, 'd'.repeat(43)])
    expect(await answered('m'.repeat(43))).toEqual([500, 'm'.repeat(43)])
    expect(await answered('longer'.repeat(20))).toEqual([401, undefined])
    expect(await answered('no marker')).toEqual([401, undefined])
  })
})
