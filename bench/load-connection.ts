/** One kept-alive HTTP/1.1 connection with as little work per request as can be: the load shares the machine. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface Answer {
  readonly status: number
  readonly body: string
}

const TIMEOUT_MS = 20_000
const HEAD_END = '\r\n\r\n'
const LENGTH = /\r\ncontent-length: (\d+)/i

export class LoadConnection {
  readonly #socket: Socket
  #received = ''
  #answered: ((answer: Answer) => void) | undefined
  #failed: ((error: Error) => void) | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.setEncoding('latin1')
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)))
    socket.on('data', (text: string) => this.#receive(text))
    socket.on('error', (error) => this.#failed?.(error))
    socket.on('close', () => this.#failed?.(new Error('the connection was closed')))
  }

  static async open(port: number): Promise<LoadConnection> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return new LoadConnection(socket)
  }

  /** @param request as it goes on the wire, ASCII */
  exchange(request: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#answered = resolve
      this.#failed = reject
      this.#socket.write(request, 'latin1')
    })
  }

  close(): void {
    this.#failed = undefined
    this.#socket.destroy()
  }

  #receive(text: string): void {
    this.#received = this.#received === '' ? text : this.#received + text
    const headEnd = this.#received.indexOf(HEAD_END)
    if (headEnd < 0) return
    const [, length] = LENGTH.exec(this.#received) ?? []
    const start = headEnd + HEAD_END.length
    if (this.#received.length < start + Number(length)) return
    const answer = { status: Number(this.#received.slice(9, 12)), body: this.#received.slice(start) }
    this.#received = ''
    this.#answered?.(answer)
  }
}
