/**
 * One setting of the configuration: its schema with the words that the sample, the reference and the error lines use.
 * docs/reference/configuration.md is generated from them.
 */
import * as z from 'zod'

/** What people are told about a setting. */
export interface SettingText {
  /** What it does, for the sample file and the reference. */
  readonly description: string
  /** What is allowed, after "expected": `an integer from 0 to 65535`. */
  readonly allowed: string
  /** A value in YAML. The sample file shows the setting commented out, with this value. */
  readonly example?: string
  /** A value in YAML that the sample file sets, where there is no default. */
  readonly sample?: string
  /** It may hold a password: no line shows it. */
  readonly secret?: boolean
}

/** Attaches the words to a schema. To be called last: a schema that is derived from the result loses them. */
export function setting<Schema extends z.ZodType>(schema: Schema, text: SettingText): Schema {
  return schema.meta({ ...text })
}

/** The words of a schema, or of what it wraps. */
export function settingText(schema: z.ZodType): SettingText | undefined {
  const meta = z.globalRegistry.get(schema)
  if (typeof meta?.allowed === 'string') return meta as unknown as SettingText
  const inner = innerOf(schema)
  return inner && settingText(inner)
}

/** The settings of a section, in the order in which they are written; undefined for a schema that is no section. */
export function settingsOf(schema: z.ZodType): ReadonlyMap<string, z.ZodType> | undefined {
  if (schema instanceof z.ZodObject) return new Map(Object.entries<z.ZodType>(schema.shape))
  const inner = innerOf(schema)
  return inner && settingsOf(inner)
}

/** The default of a setting, undefined where it has none. */
export function defaultOf(schema: z.ZodType): unknown {
  return schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault ? schema.def.defaultValue : undefined
}

function innerOf(schema: z.ZodType): z.ZodType | undefined {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) return schema.def.innerType as z.ZodType
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) return schema.def.innerType as z.ZodType
  if (schema instanceof z.ZodPipe) return schema.def.in as z.ZodType
  return undefined
}
