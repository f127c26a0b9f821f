/** `matrix-knock/canonical-json`: strict JSON in, the bytes that Matrix hashes and signs out. */
export { canonicalJson, canonicalJsonText, compareCodePoints } from '../canonical-json.ts'
export {
  isJsonObject,
  type JsonObject,
  type JsonResult,
  type JsonValue,
  MAX_JSON_DEPTH,
  parseJson,
} from '../json.ts'
