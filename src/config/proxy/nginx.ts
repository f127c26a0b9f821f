/** The locations for nginx, valid inside a `server` block. https://nginx.org/en/docs/http/ngx_http_proxy_module.html */
import { FALLBACK_STATUSES, KNOCK_PATHS, type ProxyRoutes } from './routes.ts'

const HEAD = `# matrix-knock: inside the server block of the homeserver's federation name, beside its other locations.
# The request target is signed and must arrive as it was sent: proxy_pass has no path, so nginx leaves it alone.
# With  listen: { trust_proxy: [127.0.0.1/32] }  the limit per address counts what X-Forwarded-For says.
`

export function nginxLocations({ service, fallback, waitSeconds }: ProxyRoutes): string {
  const intercept = ['proxy_intercept_errors on', `error_page ${FALLBACK_STATUSES.join(' ')} = @matrix_knock_fallback`]
  const more = fallback === undefined ? [] : intercept
  const knocks = KNOCK_PATHS.map((path) => location(`^~ ${path}`, { upstream: `http://${service}`, waitSeconds, more }))
  if (fallback === undefined) return HEAD + knocks.join('')
  const tls = fallback.protocol === 'https:' ? ['proxy_ssl_server_name on'] : []
  const toHomeserver = { upstream: fallback.origin, waitSeconds, more: tls }
  return `${HEAD}${knocks.join('')}# The homeserver knocks by itself while matrix-knock does not answer.
${location('@matrix_knock_fallback', toHomeserver)}`
}

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
  return `location ${match} {\n${directives.map((directive) => `    ${directive};\n`).join('')}}\n`
}
