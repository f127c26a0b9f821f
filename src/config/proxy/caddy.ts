/** The handlers for Caddy's site block. https://caddyserver.com/docs/caddyfile/directives/reverse_proxy */
import { addressOf, FALLBACK_NOTE, KNOCK_PATHS, type ProxyRoutes } from './routes.ts'

const [MAKE_KNOCK, SEND_KNOCK] = KNOCK_PATHS

const HEAD = `# matrix-knock: inside the site block of the homeserver's federation name. Caddy forwards the request target as it was
# sent and sets X-Forwarded-For itself; with  listen: { trust_proxy: [127.0.0.1/32] }  the limit per address counts these.
`

export function caddyHandlers({ service, fallback, waitSeconds }: ProxyRoutes): string {
  if (fallback === undefined) return HEAD + KNOCK_PATHS.map((path) => plainHandler(path, service)).join('')
  const handlers = makeKnockHandler(service, waitSeconds) + sendKnockHandler(service, waitSeconds)
  return HEAD + handlers + errorHandler(fallback)
}

function plainHandler(path: string, service: string): string {
  return `handle ${path}* {
	reverse_proxy ${service}
}
`
}

function makeKnockHandler(service: string, waitSeconds: number): string {
  return `handle ${MAKE_KNOCK}* {
	reverse_proxy ${service} {
		transport http {
			dial_timeout 5s
			response_header_timeout ${waitSeconds}s
		}
	}
}
`
}

/** Caddy closes the body of a request that failed, but one that was read into a variable survives that. */
function sendKnockHandler(service: string, waitSeconds: number): string {
  return `handle ${SEND_KNOCK}* {
	route {
		request_body {
			max_size 1MB
		}
		# Reads the body, so that it can be sent to the homeserver where there is no connection to matrix-knock.
		vars matrix_knock_body {http.request.body}
		reverse_proxy ${service} {
			transport http {
				dial_timeout 5s
				response_header_timeout ${waitSeconds}s
			}
		}
	}
}
`
}

/** Errors of Caddy's own alone come here, never an answer of the service; those of dialling say so. */
function errorHandler(homeserver: URL): string {
  const scheme = homeserver.protocol === 'https:' ? 'https://' : ''
  return `${FALLBACK_NOTE}handle_errors {
	@matrix_knock_away {
		path ${MAKE_KNOCK}* ${SEND_KNOCK}*
		expression \`{http.error.message}.startsWith("dial ")\`
	}
	reverse_proxy @matrix_knock_away ${scheme}${addressOf(homeserver)}
}
`
}
