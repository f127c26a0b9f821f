/** The handlers for Caddy's site block. https://caddyserver.com/docs/caddyfile/directives/reverse_proxy */
import { addressOf, FALLBACK_STATUSES, KNOCK_PATHS, type ProxyRoutes } from './routes.ts'

const [MAKE_KNOCK, SEND_KNOCK] = KNOCK_PATHS
const STATUSES = FALLBACK_STATUSES.join(' ')

const HEAD = `# matrix-knock: inside the site block of the homeserver's federation name. Caddy forwards the request target as it was
# sent and sets X-Forwarded-For itself; with  listen: { trust_proxy: [127.0.0.1/32] }  the limit per address counts these.
`

export function caddyHandlers({ service, fallback, waitSeconds }: ProxyRoutes): string {
  if (fallback === undefined) return HEAD + KNOCK_PATHS.map((path) => plainHandler(path, service)).join('')
  const homeserver = addressOf(fallback)
  return `${HEAD}# The homeserver knocks by itself while matrix-knock does not answer.
${makeKnockHandler(service, homeserver, waitSeconds)}${sendKnockHandler(service, homeserver, waitSeconds)}`
}

function plainHandler(path: string, service: string): string {
  return `handle ${path}* {
	reverse_proxy ${service}
}
`
}

/** Requests without a body can be sent again whatever the first answer was. */
function makeKnockHandler(service: string, homeserver: string, waitSeconds: number): string {
  return `handle ${MAKE_KNOCK}* {
	reverse_proxy ${service} ${homeserver} {
		lb_policy first
		lb_retries 1
		fail_duration 5s
		transport http {
			response_header_timeout ${waitSeconds}s
		}
		@failed status ${STATUSES}
		handle_response @failed {
			reverse_proxy ${homeserver}
		}
	}
}
`
}

/** Caddy streams bodies, so one that was sent is gone; but one that was read into a variable survives a failed connection. */
function sendKnockHandler(service: string, homeserver: string, waitSeconds: number): string {
  return `handle ${SEND_KNOCK}* {
	route {
		request_body {
			max_size 1MB
		}
		# Reads the body, so that it can be sent to the homeserver where there is no connection to matrix-knock.
		vars matrix_knock_body {http.request.body}
		reverse_proxy ${service} ${homeserver} {
			lb_policy first
			lb_retries 1
			# After one of these answers, which is handed on, the homeserver is asked for a while.
			fail_duration 5s
			unhealthy_status ${STATUSES}
			transport http {
				response_header_timeout ${waitSeconds}s
			}
		}
	}
}
`
}
