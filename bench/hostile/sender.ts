/** Strangers and honest servers that send requests at their own pace, as measurements use them. */
import { answerOf, forkTypeScript } from '../forked.ts'
import type { SendOrder, SentReport } from './sender-process.ts'

export interface Sender {
  /** Sends all, and waits until each has its answer or has given up. */
  send(order: Omit<SendOrder, 'body'> & { readonly body?: string }): Promise<SentReport>
  close(): void
}

/** Beyond it the load was not what was ordered. */
const MOST_LATE_MS = 250

export function startSender(): Sender {
  const child = forkTypeScript('./hostile/sender-process.ts')
  return {
    async send(order) {
      child.send({ body: '', ...order } satisfies SendOrder)
      const report = await answerOf<SentReport>(child)
      if (report.latestMs > MOST_LATE_MS) {
        console.error(`The load was up to ${report.latestMs.toFixed(0)} ms late: other work is in its way.`)
      }
      return report
    },
    close: () => child.disconnect(),
  }
}

/** A request as a proxy hands it on that took it from an address. */
export function cameFrom(address: string, request: string): string {
  return request.replace('\r\n', `\r\nx-forwarded-for: ${address}\r\n`)
}
