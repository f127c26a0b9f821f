/** `health`: asks the configured admin address whether the service runs, for the health check of a container. */
import { request } from 'node:http'
import { reachableAddress, reachableHost } from '../config/reachable.ts'
import type { ExitCode } from './outcome.ts'
import { type CommandContext, type ConfigOption, withConfig } from './with-config.ts'

const TIMEOUT_MS = 5_000

export function health(context: CommandContext, option: ConfigOption): Promise<ExitCode> {
  return withConfig(context, option, async ({ admin }) => {
    const { output } = context
    const answer = await ask(reachableHost(admin.host), admin.port)
    const where = `http://${reachableAddress(admin.host, admin.port)}/health`
    if (answer === 200) {
      output.out(`${where} answers 200.`)
      return 0
    }
    output.err(`${where} ${typeof answer === 'number' ? `answers ${answer}` : `cannot be reached: ${answer}`}.`)
    return 1
  })
}

/** The status, or why there is none. */
function ask(host: string, port: number): Promise<number | string> {
  return new Promise((resolve) => {
    const asked = request({ host, port, path: '/health', agent: false, timeout: TIMEOUT_MS })
    asked.on('timeout', () => asked.destroy(new Error('no answer in time')))
    asked.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    asked.on('response', (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    asked.end()
  })
}
