/** Writes the files that are generated from the schema of the configuration. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { configJsonSchema, configReference } from '../src/config/reference.ts'
import { sampleConfig } from '../src/config/sample.ts'

const files: readonly (readonly [string, string])[] = [
  ['config/matrix-knock.sample.yaml', sampleConfig()],
  ['config/matrix-knock.schema.json', configJsonSchema()],
  ['docs/reference/configuration.md', configReference()],
]
for (const [path, text] of files) {
  const full = fileURLToPath(new URL(`../${path}`, import.meta.url))
  mkdirSync(dirname(full), { recursive: true })
  writeFileSync(full, text)
}
