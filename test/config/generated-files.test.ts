import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { sampleFragment } from '../../src/config/proxy/proxies.ts'
import { configJsonSchema, configReference } from '../../src/config/reference.ts'
import { sampleConfig } from '../../src/config/sample.ts'
import { configSchema } from '../../src/config/schema.ts'

function committed(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
}

describe('files that are generated', () => {
  it.each([
    ['config/matrix-knock.sample.yaml', sampleConfig],
    ['config/matrix-knock.schema.json', configJsonSchema],
    ['docs/reference/configuration.md', configReference],
    ['config/nginx.conf', () => sampleFragment('nginx')],
    ['config/Caddyfile', () => sampleFragment('caddy')],
    ['config/haproxy.cfg', () => sampleFragment('haproxy')],
    ['config/traefik.yaml', () => sampleFragment('traefik')],
  ])('%s is up to date (npm run generate)', (path, generate) => {
    expect(committed(path)).toBe(generate())
  })

  it('the sample is valid as it stands, and says what the defaults say', () => {
    const sample: unknown = parse(sampleConfig())
    const minimal = { server_name: 'example.org', homeserver: { handover: 'none' } }
    expect(configSchema.parse(sample)).toEqual(configSchema.parse(minimal))
  })

  it('what the sample shows commented out is valid too', () => {
    const lines = sampleConfig().split('\n')
    const uncommented = lines.map((line) =>
      line.replace(/^(\s*)# (\w+:.*)$/, (all, indent: string, setting: string) => {
        return /^(\w+): [^ ]|^\w+:$/.test(setting) && !setting.startsWith('Expected') ? `${indent}${setting}` : all
      }),
    )
    const sample = parse(uncommented.join('\n')) as Record<'store' | 'homeserver', Record<string, unknown>>
    expect(sample.homeserver.appservice).toMatchObject({ listen: { port: 8452 } })
    const homeserver = { ...sample.homeserver, handover: 'inject' }
    expect(configSchema.safeParse({ ...sample, homeserver }).error).toBeUndefined()
  })

  it('the schema names every key and refuses others', () => {
    const schema = JSON.parse(configJsonSchema()) as { properties: Record<string, { additionalProperties?: boolean }> }
    expect(Object.keys(schema.properties)).toEqual(Object.keys(configSchema.shape))
    expect(schema.properties.listen?.additionalProperties).toBe(false)
    expect(configJsonSchema()).not.toContain('"allowed"')
  })
})
