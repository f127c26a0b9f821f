/**
 * An application service that is told of every room of a homeserver and keeps what it is told.
 * https://spec.matrix.org/latest/application-service-api/
 */
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { sendJson } from '../../support/key-server.ts'
import type { JsonRecord } from '../../support/signing.ts'
import { type Endpoint, send } from './web-request.ts'

/** A request of the homeserver. */
export interface Told {
  /** When it arrived, in milliseconds since the epoch. */
  readonly at: number
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: JsonRecord
}

export interface Appservice {
  readonly id: string
  /** Every request, in order of arrival. */
  readonly requests: readonly Told[]
  /** Events of all transactions, in order of arrival, with the time at which each arrived. */
  events(): readonly { readonly at: number; readonly event: JsonRecord }[]
  /** What transactions are answered from now on. */
  status: number
  /**
   * Waits for an event.
   * @throws Error where it does not arrive within `withinMs` milliseconds
   */
  until(
    what: string,
    isIt: (event: JsonRecord) => boolean,
    withinMs: number,
  ): Promise<{ readonly at: number; readonly event: JsonRecord }>
  /** Asks the homeserver to ping it. */
  ping(homeserver: Endpoint): ReturnType<typeof send>
  /** Another call to the homeserver with its token. */
  call(homeserver: Endpoint, method: string, path: string): ReturnType<typeof send>
  close(): Promise<void>
}

const AS_TOKEN = 'as-token-only-on-loopback'
export const HS_TOKEN = 'hs-token-only-on-loopback'
const ASK_EVERY_MS = 5

/** Listens on a free port of 127.0.0.1 and writes the registration that a homeserver is started with. */
export async function startAppservice(registrationPath: string): Promise<Appservice> {
  const requests: Told[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { method = '', url: path = '', headers } = request
    const text = Buffer.concat(chunks).toString()
    requests.push({ at: Date.now(), method, path, headers, body: text === '' ? {} : JSON.parse(text) })
    const known = path.includes('/transactions/') || path.includes('/ping')
    sendJson(response, known ? appservice.status : 404, known ? {} : { errcode: 'M_NOT_FOUND', error: 'nobody' })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const registration = {
    id: 'matrix-knock',
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    as_token: AS_TOKEN,
    hs_token: HS_TOKEN,
    sender_localpart: 'matrix-knock',
    rate_limited: false,
    namespaces: { users: [], aliases: [], rooms: [{ exclusive: false, regex: '!.*' }] },
  }
  await writeFile(registrationPath, JSON.stringify(registration))
  const events: Appservice['events'] = () =>
    requests
      .filter(({ path }) => path.includes('/transactions/'))
      .flatMap(({ at, body }) => ((body.events ?? []) as readonly JsonRecord[]).map((event) => ({ at, event })))
  const call: Appservice['call'] = (homeserver, method, path) =>
    send(homeserver, method, path, { authorization: `Bearer ${AS_TOKEN}` }, method === 'POST' ? '{}' : undefined)
  const appservice: Appservice = {
    id: registration.id,
    requests,
    events,
    status: 200,
    async until(what, isIt, withinMs) {
      const deadline = Date.now() + withinMs
      for (;;) {
        const found = events().find(({ event }) => isIt(event))
        if (found !== undefined) return found
        if (Date.now() > deadline) throw new Error(`not told within ${withinMs} ms: ${what}`)
        await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS))
      }
    },
    ping: (homeserver) => call(homeserver, 'POST', `/_matrix/client/v1/appservice/${registration.id}/ping`),
    call,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return appservice
}
