/** The reverse proxies that we write configuration for. */
import type { Problem } from '../problem.ts'
import { type Config, configSchema } from '../schema.ts'
import { caddyHandlers } from './caddy.ts'
import { haproxyBackend } from './haproxy.ts'
import { nginxLocations } from './nginx.ts'
import { goesPast, type ProxyRoutes, type ProxyWay, proxyRoutes } from './routes.ts'
import { traefikRouting } from './traefik.ts'

/** By name: from routes to the text of a fragment. */
export const PROXIES = {
  nginx: nginxLocations,
  caddy: caddyHandlers,
  haproxy: haproxyBackend,
  traefik: (routes: ProxyRoutes, { admin }: Config) => traefikRouting(routes, admin),
} as const satisfies Record<string, (routes: ProxyRoutes, config: Config) => string>

export type ProxyName = keyof typeof PROXIES

export type ProxyFragment =
  | {
      readonly ok: true
      readonly text: string
      /** Keys of the configuration that do not hold for what goes to the homeserver itself. */
      readonly goesPast: readonly string[]
    }
  | { readonly ok: false; readonly problem: Problem }

/** The fragment for a proxy in front of a configured service, or why there can be none. */
export function proxyFragment(name: ProxyName, config: Config, way: ProxyWay = 'with fallback'): ProxyFragment {
  const result = proxyRoutes(config, way)
  if (!result.ok) return result
  if (name === 'traefik' && result.routes.fallback !== undefined && config.admin.port === 0) {
    const what =
      'is 0, any free port, where Traefik asks whether the service is up; expected an integer from 1 to 65535'
    return { ok: false, problem: { key: 'admin.port', what } }
  }
  const text = PROXIES[name](result.routes, config)
  return { ok: true, text, goesPast: result.routes.fallback === undefined ? [] : goesPast(config) }
}

/** The fragment for the addresses of the sample configuration, before a homeserver without knocking. */
export function sampleFragment(name: ProxyName): string {
  const config = configSchema.parse({ server_name: 'example.org', homeserver: { handover: 'none' } })
  const fragment = proxyFragment(name, config)
  if (!fragment.ok) throw new Error(`the sample configuration: ${fragment.problem.key} ${fragment.problem.what}`)
  return fragment.text
}
