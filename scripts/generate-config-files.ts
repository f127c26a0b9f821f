/** Writes the files that are generated from the schema of the configuration, and the fragments for reverse proxies. */
import { sampleFragment } from '../src/config/proxy/proxies.ts'
import { configJsonSchema, configReference } from '../src/config/reference.ts'
import { sampleConfig } from '../src/config/sample.ts'
import { bringUpToDate } from './generated-file.ts'

bringUpToDate('config/matrix-knock.sample.yaml', sampleConfig())
bringUpToDate('config/matrix-knock.schema.json', configJsonSchema())
bringUpToDate('docs/reference/configuration.md', configReference())
bringUpToDate('config/nginx.conf', sampleFragment('nginx'))
bringUpToDate('config/Caddyfile', sampleFragment('caddy'))
bringUpToDate('config/haproxy.cfg', sampleFragment('haproxy'))
bringUpToDate('config/traefik.yaml', sampleFragment('traefik'))
