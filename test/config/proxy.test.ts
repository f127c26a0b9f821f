import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { PROXIES, type ProxyName, proxyFragment, sampleFragment } from '../../src/config/proxy/proxies.ts'
import { configSchema } from '../../src/config/schema.ts'

const names = Object.keys(PROXIES) as ProxyName[]
const FORWARD = { handover: 'forward', url: 'http://127.0.0.1:8008' }

function fragment(name: ProxyName, changes: object): string {
  const made = proxyFragment(name, configSchema.parse({ server_name: 'example.org', ...changes }))
  return made.ok ? made.text : `${made.problem.key} ${made.problem.what}`
}

describe.each(names)('the fragment for %s', (name) => {
  it('names both calls and where the service listens', () => {
    const text = fragment(name, { listen: { host: '192.0.2.7', port: 9000 } })
    expect(text).toContain('/_matrix/federation/v1/make_knock/')
    expect(text).toContain('/_matrix/federation/v1/send_knock/')
    expect(text).toContain('192.0.2.7:9000')
    expect(text).toContain('trust_proxy: [127.0.0.1/32]')
  })

  it('reaches a service that listens everywhere on loopback', () => {
    expect(fragment(name, { listen: { host: '0.0.0.0' } })).toContain('127.0.0.1:8450')
    expect(fragment(name, { listen: { host: '::' } })).toContain('[::1]:8450')
  })

  it('leads to the homeserver only where that has knocking itself', () => {
    expect(fragment(name, { homeserver: FORWARD })).toContain('127.0.0.1:8008')
    for (const homeserver of [{ ...FORWARD, handover: 'inject' }, { handover: 'none' }, {}]) {
      expect(fragment(name, { homeserver })).toBe(sampleFragment(name))
    }
  })

  it('leads nowhere else where that is not wanted', () => {
    const config = configSchema.parse({ server_name: 'example.org', homeserver: FORWARD })
    expect(proxyFragment(name, config, 'without fallback')).toEqual({
      ok: true,
      text: sampleFragment(name),
      goesPast: [],
    })
  })

  it('never leads to the homeserver because of an answer, and says what that way goes past', () => {
    const text = fragment(name, { homeserver: FORWARD })
    expect(text).not.toMatch(
      /50[0-9] 50[0-9] 50[0-9]|intercept_errors|unhealthy_status|empty-response|response-timeout/,
    )
    expect(text.replaceAll(/\n *# /g, ' ')).toContain(
      'past its lists of servers (allow_servers, deny_servers) and its limits',
    )
  })

  it('names the lists and limits that the way to the homeserver goes past', () => {
    const per = { knocks: 2, per_seconds: 60 }
    const config = configSchema.parse({
      server_name: 'example.org',
      homeserver: FORWARD,
      federation: { allow_servers: ['a.example'], deny_servers: ['b.example'] },
      limits: { per_user: per, per_room: per, per_server: per },
    })
    const keys = ['federation.allow_servers', 'federation.deny_servers']
    const goesPast = [...keys, 'limits.per_user', 'limits.per_room', 'limits.per_server']
    expect(proxyFragment(name, config)).toMatchObject({ ok: true, goesPast })
    expect(proxyFragment(name, config, 'without fallback')).toMatchObject({ ok: true, goesPast: [] })
  })

  it.each<[string, object, RegExp]>([
    [
      'serves TLS itself',
      { tls: { cert_path: 'a', key_path: 'b' } },
      /^listen\.tls is there, so that no proxy is needed; exp/,
    ],
    ['listens on any port', { port: 0 }, /^listen\.port is 0, any free port, which no proxy can know; expected/],
    [
      'listens on what is no host',
      { host: '127.0.0.1; return 200' },
      /^listen\.host is "127\.0\.0\.1; return 200"; expected/,
    ],
    ['listens on two lines', { host: 'a\nb' }, /^listen\.host is "a\\nb"; expected an address or host name/],
  ])('cannot be made for a service that %s', (_what, listen, reason) => {
    expect(fragment(name, { listen })).toMatch(reason)
  })
})

describe('proxies', () => {
  it.each(['nginx', 'haproxy'] as const)('%s waits longer than the service takes', (name) => {
    expect(fragment(name, {})).toContain(' 60s')
    expect(fragment(name, { timeouts: { request_seconds: 99.5 } })).toContain(' 110s')
  })

  it('Caddy falls back to a homeserver with TLS by its scheme', () => {
    const homeserver = { ...FORWARD, url: 'https://hs.example' }
    expect(fragment('caddy', { homeserver })).toContain('reverse_proxy @matrix_knock_away https://hs.example:443\n')
  })

  it('homeservers without a port are at that of their scheme', () => {
    expect(fragment('haproxy', { homeserver: { ...FORWARD, url: 'http://hs.example' } })).toContain(
      'server homeserver hs.example:80\n',
    )
    expect(fragment('haproxy', { homeserver: { ...FORWARD, url: 'https://hs.example' } })).toContain(
      'server homeserver hs.example:443 ssl verify required ca-file @system-ca sni str(hs.example)\n',
    )
  })

  it('Traefik gets one router above all others', () => {
    expect(parse(fragment('traefik', {}))).toEqual({
      http: {
        routers: {
          'matrix-knock': {
            rule: 'PathPrefix(`/_matrix/federation/v1/make_knock/`) || PathPrefix(`/_matrix/federation/v1/send_knock/`)',
            priority: 10_000,
            service: 'matrix-knock',
          },
        },
        services: { 'matrix-knock': { loadBalancer: { servers: [{ url: 'http://127.0.0.1:8450' }] } } },
      },
    })
  })

  it('Traefik falls back by the health of the service', () => {
    const { http } = parse(fragment('traefik', { homeserver: FORWARD, admin: { port: 9001 } })) as {
      http: { services: object }
    }
    expect(http.services).toEqual({
      'matrix-knock': {
        failover: { service: 'matrix-knock-itself', fallback: 'matrix-knock-homeserver', healthCheck: {} },
      },
      'matrix-knock-itself': {
        loadBalancer: {
          servers: [{ url: 'http://127.0.0.1:8450' }],
          healthCheck: { path: '/health', port: 9001, interval: '2s', timeout: '1s' },
        },
      },
      'matrix-knock-homeserver': { loadBalancer: { servers: [{ url: 'http://127.0.0.1:8008' }] } },
    })
    expect(fragment('traefik', { homeserver: FORWARD, admin: { port: 0 } })).toMatch(/^admin\.port is 0, any free port/)
  })
})

describe('docs/reverse-proxy.md', () => {
  const page = readFileSync(new URL('../../docs/reverse-proxy.md', import.meta.url), 'utf8')
  const blocks = [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language = '', text = '']) => [
    language,
    text,
  ])

  it('shows what is generated, before a homeserver with knocking and before one without', () => {
    for (const name of names) {
      const shown = blocks
        .filter(([language]) => language === (name === 'traefik' ? 'yaml' : name))
        .map(([, text]) => text)
      const withFallback = fragment(name, { homeserver: FORWARD })
      expect(shown).toEqual(name === 'nginx' ? [sampleFragment(name), withFallback] : [withFallback])
    }
  })

  it('shows nothing else but the paths, the commands, and what is said to be untried', () => {
    const others = blocks.filter(([language = '']) => !['nginx', 'caddy', 'haproxy', 'yaml'].includes(language))
    expect(others.map(([language]) => language)).toEqual(['text', 'sh', 'apache'])
  })
})
