/** Secrets in configuration files that others than their owner can read. */
import type * as z from 'zod'
import { othersMayRead } from './permissions.ts'
import { settingsOf, settingText } from './setting.ts'
import type { Sources } from './sources.ts'

/**
 * Warns of each file that others can read and that holds a secret, though another file may set the key anew. What the
 * environment holds is in no file.
 * @param schema of the configuration: a setting says itself whether it may hold a password
 * @returns one line for each file and key
 */
export async function exposedSecrets(schema: z.ZodType, files: Sources['files']): Promise<readonly string[]> {
  const warnings: string[] = []
  for (const { path, tree } of files) {
    const keys = secretsIn(schema, tree)
    if (keys.length > 0 && (await othersMayRead(path))) {
      warnings.push(
        `${path}: ${keys.join(', ')} holds a password, and others can read the file; mend it with \`chmod 600 ${path}\``,
      )
    }
  }
  return warnings
}

/** Full names of the settings of which a value holds a secret. */
function secretsIn(schema: z.ZodType, value: unknown, key: readonly string[] = []): readonly string[] {
  if (settingText(schema)?.secret === true) return typeof value === 'string' && isSecret(value) ? [key.join('.')] : []
  const settings = settingsOf(schema)
  if (settings === undefined || typeof value !== 'object' || value === null) return []
  return [...settings].flatMap(([name, inner]) =>
    Object.hasOwn(value, name) ? secretsIn(inner, (value as Record<string, unknown>)[name], [...key, name]) : [],
  )
}

/** A URL is secret where it has a password, which libpq takes as a parameter, too; any other text is all secret. */
function isSecret(text: string): boolean {
  if (!URL.canParse(text)) return text !== ''
  const { password, searchParams } = new URL(text)
  return password !== '' || [...searchParams.keys()].some((name) => /password/i.test(name))
}
