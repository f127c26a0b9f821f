/** How the listeners of the configuration are reached from programs on the same machine. */

/** A listener on every address is reached on loopback. */
const LOOPBACK: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }

/** The host to connect to, without brackets. @param host that is listened on */
export function reachableHost(host: string): string {
  return LOOPBACK[host] ?? host
}

/** Host and port as URLs have them: `127.0.0.1:8450`, `[::1]:8450`. @param host that is listened on */
export function reachableAddress(host: string, port: number): string {
  const reached = reachableHost(host)
  return `${reached.includes(':') ? `[${reached}]` : reached}:${port}`
}
