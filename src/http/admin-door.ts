/**
 * Who may ask the admin listener: programs that were given its address or one of its names. A page in the operator's browser
 * is none of them, whoever it belongs to. A name that its owner leads to our address afterwards is no name of ours, and an
 * address cannot be led elsewhere; what a page asks of another origin the browser itself says.
 * https://www.rfc-editor.org/rfc/rfc9110#section-7.2 · https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
 */
import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import { type Refusal, refusal } from '../matrix/refusal.ts'

const HOST = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/
const LONGEST_NAME = 255

const OF_ANOTHER_PAGE = refusal(
  'M_FORBIDDEN',
  'The admin listener answers no requests of web pages',
  'admin: same origin',
)

/**
 * @param names by which the listener is reached, beside addresses and `localhost`
 * @returns why a request with these headers is refused
 */
export function createAdminDoor(names: readonly string[]): (headers: IncomingHttpHeaders) => Refusal | undefined {
  const known = new Set(['localhost', ...names.map((name) => name.toLowerCase())])
  const isOurs = (host: string): boolean => {
    const [, literal, name = ''] = HOST.exec(host) ?? []
    if (literal !== undefined) return isIP(literal) === 6
    return isIP(name) === 4 || known.has(name.toLowerCase().replace(/\.$/, ''))
  }
  return ({ host, origin, 'sec-fetch-site': site }) => {
    // Only programs leave it out, in HTTP/1.0.
    if (host !== undefined && !isOurs(host)) return misdirected(host)
    const fromElsewhere = origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`
    return fromElsewhere || (site !== undefined && site !== 'none' && site !== 'same-origin')
      ? OF_ANOTHER_PAGE
      : undefined
  }
}

function misdirected(host: string): Refusal {
  const name = JSON.stringify(host.slice(0, LONGEST_NAME))
  const error = `The admin listener is not known by the name of the Host header, ${name}: admin.hosts lists its names`
  return refusal('M_FORBIDDEN', error, 'admin.hosts')
}
