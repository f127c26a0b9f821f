/** Answers that are not what they should be: all the ways in which a homeserver next door can be out of order. */
import type { ServerResponse } from 'node:http'
import { sendJson } from './key-server.ts'
import type { Told } from './resident-answers.ts'
import type { JsonRecord } from './signing.ts'

/** How a call is answered instead of as it should be. */
export type Fault =
  | { readonly status: number; readonly body?: JsonRecord; readonly text?: string }
  /** The right answer with the text of its body changed. */
  | { readonly alterText: (body: string, uri: string) => string }
  /** The right answer with its body changed. */
  | { readonly alter: (body: JsonRecord) => JsonRecord }
  /** The connection stays open without an answer. */
  | 'hang'
  /** The connection is closed without an answer. */
  | 'close'
  /** The head of an answer and half of its body, then the connection is closed. */
  | 'half'
  /** The head of an answer and half of its body, then nothing. */
  | 'stall'
  /** The right answer of now, given when all is well again. */
  | 'held'
  /** A body that never ends. */
  | 'endless'

/** Answers, or not. */
export function sendFaulty(response: ServerResponse, fault: Fault, told: Told, uri: string): void {
  if (fault === 'hang') return
  if (fault === 'close') return void response.destroy()
  if (typeof fault === 'object') {
    if ('alterText' in fault) response.writeHead(told.status).end(fault.alterText(JSON.stringify(told.body), uri))
    else if ('alter' in fault) sendJson(response, told.status, fault.alter(told.body))
    else if (fault.text !== undefined) response.writeHead(fault.status).end(fault.text)
    else sendJson(response, fault.status, fault.body ?? { errcode: 'M_UNKNOWN', error: 'out of order' })
    return
  }
  response.writeHead(told.status, { 'content-type': 'application/json' })
  const text = JSON.stringify(told.body)
  if (fault === 'endless') {
    sendEndlessly(response)
    return
  }
  response.write(text.slice(0, text.length / 2))
  if (fault === 'half') setImmediate(() => response.destroy())
}

function sendEndlessly(response: ServerResponse): void {
  const chunk = Buffer.alloc(64 * 1024, 0x20)
  const more = (): void => {
    while (!response.destroyed && response.write(chunk));
    if (!response.destroyed) response.once('drain', more)
  }
  more()
}
