/** Dynamic configuration for Traefik's file provider. https://doc.traefik.io/traefik/routing/services/ */
import { stringify } from 'yaml'
import type { Config } from '../schema.ts'
import { FALLBACK_NOTE, KNOCK_PATHS, type ProxyRoutes } from './routes.ts'

const HEAD = `# matrix-knock: dynamic configuration for Traefik's file provider. Add the entry points and tls of the homeserver's router.
# Traefik sets X-Forwarded-For itself; with  listen: { trust_proxy: [127.0.0.1/32] }  the limit per address counts these.
# The request target is signed and must arrive as it was sent. Newer releases refuse some escapes and tidy paths unless
# the entry point says otherwise, in the static configuration:
#   entryPoints: { NAME: { http: { sanitizePath: false, encodedCharacters: { allowEncodedSlash: true,
#     allowEncodedBackSlash: true, allowEncodedSemicolon: true, allowEncodedPercent: true,
#     allowEncodedQuestionMark: true, allowEncodedHash: true } } } }
`
/** Above every rule of the homeserver's own: the default is the length of the rule. */
const PRIORITY = 10_000

/** @param admin where /health is asked whether the service is there */
export function traefikRouting({ service, fallback }: ProxyRoutes, admin: Config['admin']): string {
  const rule = KNOCK_PATHS.map((path) => `PathPrefix(\`${path}\`)`).join(' || ')
  const routers = { 'matrix-knock': { rule, priority: PRIORITY, service: 'matrix-knock' } }
  const direct = { loadBalancer: { servers: [{ url: `http://${service}` }] } }
  if (fallback === undefined) return written({ routers, services: { 'matrix-knock': direct } })
  const healthCheck = { path: '/health', port: admin.port, interval: '2s', timeout: '1s' }
  const services = {
    'matrix-knock': {
      failover: { service: 'matrix-knock-itself', fallback: 'matrix-knock-homeserver', healthCheck: {} },
    },
    'matrix-knock-itself': { loadBalancer: { ...direct.loadBalancer, healthCheck } },
    'matrix-knock-homeserver': { loadBalancer: { servers: [{ url: fallback.origin }] } },
  }
  return written({ routers, services }, FALLBACK_NOTE)
}

function written(http: object, note = ''): string {
  return `${HEAD}${note}${stringify({ http }, { lineWidth: 0 })}`
}
