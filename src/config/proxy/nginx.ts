/** The locations for nginx, valid inside a `server` block. https://nginx.org/en/docs/http/ngx_http_proxy_module.html */
import { FALLBACK_NOTE, KNOCK_PATHS, type ProxyRoutes } from './routes.ts'

const HEAD = `# matrix-knock: inside the server block of the homeserver's federation name, beside its other locations.
# The request target is signed and must arrive as it was sent: proxy_pass has no path, so nginx leaves it alone.
# With  listen: { trust_proxy: [127.0.0.1/32] }  the limit per address counts what X-Forwarded-For says.
`

export function nginxLocations({ service, fallback, waitSeconds }: ProxyRoutes): string {
  // Of nginx's own errors alone: answers of the service are not intercepted.
  const more = fallback === undefined ? [] : ['error_page 502 504 = @matrix_knock_fallback']
  const knocks = KNOCK_PATHS.map((path) => location(`^~ ${path}`, { upstream: `http://${service}`, waitSeconds, more }))
  if (fallback === undefined) return HEAD + knocks.join('')
  const tls = fallback.protocol === 'https:' ? ['proxy_ssl_server_name on'] : []
  const toHomeserver = { upstream: fallback.origin, waitSeconds, more: [ONLY_UNCONNECTED, ...tls] }
  return `${HEAD}${knocks.join('')}${FALLBACK_NOTE}${location('@matrix_knock_fallback', toHomeserver)}`
}

/** nginx writes a time here where there was a connection, and a hyphen where there was none. */
const ONLY_UNCONNECTED = 'if ($upstream_connect_time ~ "[0-9]") { return 502; }'

interface Location {
  readonly upstream: string
  readonly waitSeconds: number
  /** Directives beside the usual ones. */
  readonly more: readonly string[]
}

function location(match: string, { upstream, waitSeconds, more }: Location): string {
  const directives = [
    `proxy_pass ${upstream}`,
    'proxy_set_header Host $host',
    'proxy_set_header X-Forwarded-For $remote_addr',
    'proxy_set_header X-Forwarded-Proto $scheme',
    'client_max_body_size 1m',
    'proxy_connect_timeout 5s',
    `proxy_read_timeout ${waitSeconds}s`,
    ...more,
  ]
  return `location ${match} {\n${directives.map((directive) => `    ${directive}${directive.endsWith('}') ? '' : ';'}\n`).join('')}}\n`
}
