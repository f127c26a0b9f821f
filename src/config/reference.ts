/** The configuration as a JSON schema for editors and as the reference page docs/reference/configuration.md. */
import { stringify } from 'yaml'
import * as z from 'zod'
import { configSchema } from './schema.ts'
import { defaultOf, settingsOf, settingText } from './setting.ts'

/** JSON schema, draft 2020-12, of the configuration as it is written. */
export function configJsonSchema(): string {
  const schema = z.toJSONSchema(configSchema, {
    io: 'input',
    override({ jsonSchema }) {
      // The words for people other than the description are no part of the vocabulary.
      for (const word of ['allowed', 'example', 'sample', 'secret'])
        delete (jsonSchema as Record<string, unknown>)[word]
    },
  })
  return `${JSON.stringify({ title: 'matrix-knock configuration', ...schema }, null, 2)}\n`
}

const HEAD = `# Configuration

Generated from \`src/config/schema.ts\`. Unknown keys are errors. Several \`-c\` files are merged left to right; an environment
variable \`MATRIX_KNOCK__SECTION__KEY\` overrides \`section.key\`, its value read as YAML. Relative paths start at the working
directory. A wrong configuration ends every command with exit code 78 and a line that names file, key, what was found and
what is expected.

| key | expected | default | |
|---|---|---|---|
`

/** The reference page, Markdown. */
export function configReference(): string {
  return `${HEAD}${rows(configSchema, '').join('\n')}\n`
}

function rows(schema: z.ZodType, prefix: string): readonly string[] {
  return [...(settingsOf(schema) ?? [])].flatMap(([key, inner]) => {
    const text = settingText(inner)
    if (text === undefined) return rows(inner, `${prefix}${key}.`)
    const cells = [`\`${prefix}${key}\``, text.allowed, defaultText(inner), text.description]
    return [`| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`]
  })
}

function defaultText(schema: z.ZodType): string {
  const value = defaultOf(schema)
  return value === undefined ? 'none' : `\`${stringify(value, { collectionStyle: 'flow' }).trim()}\``
}
