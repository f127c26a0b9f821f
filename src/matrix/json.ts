/**
 * Bytes to JSON values, strictly: what canonical JSON cannot carry, or two parsers could read differently, is refused.
 * https://spec.matrix.org/latest/appendices/#canonical-json
 */

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject

/** An object without Object.prototype behind it: `constructor` and `__proto__` are keys like any other. */
export interface JsonObject {
  readonly [key: string]: JsonValue | undefined
}

export type JsonResult =
  | { readonly ok: true; readonly value: JsonValue }
  | { readonly ok: false; readonly errcode: 'M_NOT_JSON' | 'M_BAD_JSON'; readonly reason: string }
