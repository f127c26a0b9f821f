/** A rule for HAProxy's frontend and a backend. https://docs.haproxy.org/2.6/configuration.html */
import { addressOf, FALLBACK_NOTE, KNOCK_PATHS, type ProxyRoutes } from './routes.ts'

const HEAD = `# matrix-knock. This line goes into the frontend of the homeserver's federation name, before its other use_backend lines.
# HAProxy matches and forwards the request target as it was sent.
    use_backend matrix_knock if { path_beg ${KNOCK_PATHS.join(' ')} }

# With  listen: { trust_proxy: [127.0.0.1/32] }  the limit per address counts what X-Forwarded-For says.
backend matrix_knock
    mode http
    timeout connect 5s
`

export function haproxyBackend({ service, fallback, waitSeconds }: ProxyRoutes): string {
  const backend = `${HEAD}    timeout server ${waitSeconds}s
    http-request set-header X-Forwarded-For %[src]
`
  if (fallback === undefined) return `${backend}    server matrix_knock ${service}\n`
  const { hostname, protocol } = fallback
  const tls = protocol === 'https:' ? ` ssl verify required ca-file @system-ca sni str(${hostname})` : ''
  return `${backend}${FALLBACK_NOTE.replaceAll(/^/gm, '    ').trimEnd()}
    retries 1
    option redispatch 1
    retry-on conn-failure
    use-server matrix_knock if TRUE
    server matrix_knock ${service}
    server homeserver ${addressOf(fallback)}${tls}
`
}
