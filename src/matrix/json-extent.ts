/** Finds where a JSON value ends without reading it: any value can be passed over, whatever it holds and however deep it is. */

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

/** Finds the end of one value over any number of chunks. Brackets are counted, their kinds are not compared. */
export class JsonExtent {
  #depth = 0
  #inString = false
  #escaped = false
  /** Neither a string, nor an object, nor a list: ends before the next delimiter. */
  #bare: boolean | undefined

  /** @returns the index after the last byte of the value, or undefined where it goes on */
  end(chunk: Uint8Array, from: number): number | undefined {
    this.#bare ??= !isOpening(chunk[from] ?? 0)
    if (this.#bare) return endOfBare(chunk, from)
    let [depth, inString, escaped] = [this.#depth, this.#inString, this.#escaped]
    for (let at = from; at < chunk.length; at++) {
      const byte = chunk[at]
      if (inString) {
        if (escaped) escaped = false
        else if (byte === BACKSLASH) escaped = true
        else if (byte === QUOTE) {
          inString = false
          if (depth === 0) return at + 1
        }
      } else if (byte === QUOTE) inString = true
      else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++
      else if ((byte === CLOSE_BRACE || byte === CLOSE_BRACKET) && --depth === 0) return at + 1
    }
    this.#depth = depth
    this.#inString = inString
    this.#escaped = escaped
    return undefined
  }
}

function endOfBare(chunk: Uint8Array, from: number): number | undefined {
  for (let at = from; at < chunk.length; at++) if (isDelimiter(chunk[at] ?? 0)) return at
  return undefined
}

function isOpening(byte: number): boolean {
  return byte === QUOTE || byte === OPEN_BRACE || byte === OPEN_BRACKET
}

export function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

/** Whether a byte ends a number or a word. */
export function isDelimiter(byte: number): boolean {
  return byte === COMMA || byte === CLOSE_BRACKET || byte === CLOSE_BRACE || isSpace(byte)
}
