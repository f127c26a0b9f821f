/** PDUs as the store keeps them: canonical JSON, read back by the strict reader. */
import { parseJson } from '../matrix/json.ts'
import type { Pdu } from '../matrix/pdu.ts'

/** A PDU that this store wrote. */
export function parsePdu(json: string | Buffer): Pdu {
  const parsed = parseJson(typeof json === 'string' ? Buffer.from(json) : json)
  if (!parsed.ok) throw new Error(`a stored event is damaged: ${parsed.reason}`)
  return parsed.value as Pdu
}
