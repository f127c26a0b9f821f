/** The sample configuration that `generate-config` writes: every key with its help text and default. */
import { stringify } from 'yaml'
import type { z } from 'zod'
import { configSchema } from './schema.ts'
import { defaultOf, type SettingText, settingsOf, settingText } from './setting.ts'

const WIDTH = 110

const HEAD = `# Configuration of matrix-knock. Change server_name; everything else is a default that works.
# Several files are merged left to right (-c base.yaml -c local.yaml). A variable MATRIX_KNOCK__SECTION__KEY overrides
# section.key. Relative paths start at the working directory. Unknown keys are errors.
`

/** The text of the sample file, YAML. */
export function sampleConfig(): string {
  const blocks = [...(settingsOf(configSchema) ?? [])].map(([key, schema]) => block(key, schema, '').join('\n'))
  return `${HEAD}\n${blocks.join('\n\n')}\n`
}

/** A key with its help text, or a section with its keys, each line indented. */
function block(key: string, schema: z.ZodType, indent: string): readonly string[] {
  const section = settingText(schema) === undefined ? settingsOf(schema) : undefined
  if (section === undefined) return leaf(key, schema, indent)
  const lines = [...section].flatMap(([name, inner]) => block(name, inner, `${indent}  `))
  const silent = lines.every((line) => line.trimStart().startsWith('#'))
  return [`${indent}${silent ? '# ' : ''}${key}:`, ...lines]
}

function leaf(key: string, schema: z.ZodType, indent: string): readonly string[] {
  const text = settingText(schema)
  if (text === undefined) throw new Error(`${key} has no help text`)
  const width = WIDTH - indent.length
  const comment = [...wrap(text.description, width), ...wrap(`Expected: ${text.allowed}.`, width)]
  return [...comment.map((line) => `${indent}# ${line}`), `${indent}${assignment(key, schema, text)}`]
}

function assignment(key: string, schema: z.ZodType, { sample, example }: SettingText): string {
  if (example !== undefined) return `# ${key}: ${example}`
  return `${key}: ${sample ?? stringify(defaultOf(schema)).trim()}`
}

function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const line = lines.at(-1)
    if (line !== undefined && line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`
    else lines.push(word)
  }
  return lines
}
