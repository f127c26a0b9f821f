/** `generate-config`: the sample configuration. */
import { sampleConfig } from '../config/sample.ts'
import type { ExitCode, Output } from './outcome.ts'
import { type WriteOptions, writeGenerated } from './write-file.ts'

const READABLE = 0o644

export function generateConfig(options: WriteOptions, output: Output): Promise<ExitCode> {
  return writeGenerated(sampleConfig(), options, READABLE, output)
}
