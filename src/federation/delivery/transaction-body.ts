/**
 * The content of a transaction as bytes: the stored events themselves, joined and never read again.
 * https://spec.matrix.org/latest/server-server-api/#put_matrixfederationv1sendtxnid
 */
import type { OutgoingEvent } from '../../knock/ports/deliveries.ts'
import { canonicalJsonText } from '../../matrix/canonical-json.ts'
import type { ServerName } from '../../matrix/identifiers.ts'
import type { CanonicalContent } from '../http/signed-client.ts'

/** Pieces are about as large: large enough to be few, small enough that no connection holds much. */
const PIECE_BYTES = 64 * 1024
const COMMA = Buffer.from(',')

/** @param startedAt `origin_server_ts`, milliseconds since the epoch */
export function transactionContent(
  origin: ServerName,
  startedAt: number,
  events: readonly OutgoingEvent[],
): CanonicalContent {
  const around = canonicalJsonText({ origin, origin_server_ts: startedAt, pdus: [] })
  const pdus = events.flatMap(({ json }, at) => (at === 0 ? [json] : [COMMA, json]))
  const parts = [Buffer.from(around.slice(0, -END.length)), ...pdus, Buffer.from(END)]
  return {
    length: parts.reduce((sum, { length }) => sum + length, 0),
    [Symbol.iterator]: () => inPieces(parts),
  }
}

const END = ']}'

function* inPieces(parts: readonly Uint8Array[]): Generator<Uint8Array, void> {
  let gathered: Uint8Array[] = []
  let bytes = 0
  for (const part of parts) {
    gathered.push(part)
    bytes += part.length
    if (bytes < PIECE_BYTES) continue
    yield Buffer.concat(gathered, bytes)
    gathered = []
    bytes = 0
  }
  if (bytes > 0) yield Buffer.concat(gathered, bytes)
}
