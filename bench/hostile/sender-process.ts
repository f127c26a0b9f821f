/**
 * Strangers who send requests, as a process of its own: each request on a connection of its own, at its time, whatever
 * became of those before. It reads no more of an answer than its status.
 */
import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

export interface SendOrder {
  readonly port: number
  /** Heads, or whole requests without a body, ASCII. */
  readonly heads: readonly string[]
  /** Comes after each of the heads, ASCII. */
  readonly body: string
  /** Requests a second; Infinity for all at once. */
  readonly perSecond: number
  /** Who has no answer after so many milliseconds gives up. */
  readonly withinMs: number
}

/** In the order of the requests. A status of 0: no answer in time, or none at all. */
export interface SentReport {
  readonly answers: readonly { readonly status: number; readonly ms: number }[]
  /** How late the latest request was sent, in milliseconds: what the sender itself was short of. */
  readonly latestMs: number
}

type Answered = SentReport['answers'][number]

function send(order: SendOrder, head: string, body: Buffer): Promise<Answered> {
  const start = performance.now()
  return new Promise((resolve) => {
    const socket = connect(order.port, '127.0.0.1')
    const end = (status: number): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve({ status, ms: performance.now() - start })
    }
    const timer = setTimeout(end, order.withinMs, 0)
    socket.setNoDelay(true)
    socket.on('error', () => end(0))
    socket.on('close', () => end(0))
    socket.once('data', (answer: Buffer) => end(Number(answer.toString('latin1', 9, 12))))
    socket.write(head, 'latin1')
    if (body.length > 0) socket.write(body)
  })
}

async function sendAll(order: SendOrder): Promise<SentReport> {
  const body = Buffer.from(order.body, 'latin1')
  const start = performance.now()
  const sent: Promise<Answered>[] = []
  let latestMs = 0
  for (const [index, head] of order.heads.entries()) {
    const due = start + (index * 1000) / order.perSecond
    const early = due - performance.now()
    if (early > 0) await pause(early)
    latestMs = Math.max(latestMs, performance.now() - due)
    sent.push(send(order, head, body))
  }
  return { answers: await Promise.all(sent), latestMs: order.perSecond === Number.POSITIVE_INFINITY ? 0 : latestMs }
}

process.once('disconnect', () => process.exit())
process.on('message', async (order: SendOrder) => process.send?.(await sendAll(order)))
