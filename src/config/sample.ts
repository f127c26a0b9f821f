/** The sample configuration that `generate-config` writes: every key with its help text and default. */
import { stringify } from 'yaml'
import type * as z from 'zod'
import { configSchema } from './schema.ts'
import { defaultOf, type SettingText, settingsOf, settingText } from './setting.ts'
import type { Tree } from './sources.ts'

const WIDTH = 110
const IN_ONE_LINE = { collectionStyle: 'flow', lineWidth: 0 } as const

const HEAD = `# Configuration of matrix-knock. Change server_name; everything else is a default that works.
# Several files are merged left to right (-c base.yaml -c local.yaml). A variable MATRIX_KNOCK__SECTION__KEY overrides
# section.key. Relative paths start at the working directory. Unknown keys are errors.
`

/** The text of the sample file, YAML. */
export function sampleConfig(): string {
  return commentedConfig(HEAD, {})
}

/**
 * A configuration with its comments.
 * @param head comment lines, each with its end
 * @param chosen values that take the place of defaults and samples, by section as in the file
 */
export function commentedConfig(head: string, chosen: Tree): string {
  const blocks = [...(settingsOf(configSchema) ?? [])].map(([key, schema]) => block(key, schema, chosen[key], ''))
  return `${head}\n${blocks.map((lines) => lines.join('\n')).join('\n\n')}\n`
}

/** A key with its help text, or a section with its keys, each line indented. */
function block(key: string, schema: z.ZodType, chosen: unknown, indent: string): readonly string[] {
  const section = settingText(schema) === undefined ? settingsOf(schema) : undefined
  if (section === undefined) return leaf(key, schema, chosen, indent)
  const values = chosen as Tree | undefined
  const lines = [...section].flatMap(([name, inner]) => block(name, inner, values?.[name], `${indent}  `))
  const silent = lines.every((line) => line.trimStart().startsWith('#'))
  return [`${indent}${silent ? '# ' : ''}${key}:`, ...lines]
}

function leaf(key: string, schema: z.ZodType, chosen: unknown, indent: string): readonly string[] {
  const text = settingText(schema)
  if (text === undefined) throw new Error(`${key} has no help text`)
  const width = WIDTH - indent.length
  const comment = [...wrap(text.description, width), ...wrap(`Expected: ${text.allowed}.`, width)]
  return [...comment.map((line) => `${indent}# ${line}`), `${indent}${assignment(key, schema, chosen, text)}`]
}

function assignment(key: string, schema: z.ZodType, chosen: unknown, { sample, example }: SettingText): string {
  if (chosen !== undefined) return `${key}: ${stringify(chosen, IN_ONE_LINE).trim()}`
  if (example !== undefined) return `# ${key}: ${example}`
  return `${key}: ${sample ?? stringify(defaultOf(schema), IN_ONE_LINE).trim()}`
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
