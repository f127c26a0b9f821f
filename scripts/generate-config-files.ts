/** Writes the files that are generated from the schema of the configuration. */
import { configJsonSchema, configReference } from '../src/config/reference.ts'
import { sampleConfig } from '../src/config/sample.ts'
import { bringUpToDate } from './generated-file.ts'

bringUpToDate('config/matrix-knock.sample.yaml', sampleConfig())
bringUpToDate('config/matrix-knock.schema.json', configJsonSchema())
bringUpToDate('docs/reference/configuration.md', configReference())
