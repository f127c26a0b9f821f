/** JSON values as the references see them: plain data, read by own keys only. */

export type OracleJson =
  | null
  | boolean
  | number
  | string
  | readonly OracleJson[]
  | { readonly [key: string]: OracleJson }

export type OracleObject = { readonly [key: string]: OracleJson }

export function isOracleObject(value: OracleJson | undefined): value is OracleObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** An object that holds the entries as own keys, `__proto__` included. */
export function objectOf(entries: Iterable<readonly [string, OracleJson]>): OracleObject {
  return Object.fromEntries(entries)
}

/** The value of an own key; inherited names such as `constructor` are absent. */
export function own(object: OracleObject, key: string): OracleJson | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined
}
