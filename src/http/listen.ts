/** Makes a server listen, and says in the operator's words where it cannot. */
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Place = { readonly fd: number } | { readonly host: string; readonly port: number }

/**
 * @param section of the configuration, for the error
 * @returns the address: `127.0.0.1:8450`
 * @throws Error where the address cannot be listened on
 */
export async function listen(server: Server, place: Place, section: string): Promise<string> {
  const listening = once(server, 'listening')
  server.listen(place)
  await listening.catch((error: NodeJS.ErrnoException) => {
    const where = 'fd' in place ? `fd ${place.fd}` : `${place.host}:${place.port}`
    throw new Error(`${section}: cannot listen on ${where} (${error.code ?? error.message})`, { cause: error })
  })
  const bound = server.address() as AddressInfo | string
  if (typeof bound === 'string') return bound
  return bound.family === 'IPv6' ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`
}
