/**
 * Reference for the strict reading of JSON: syntax is what `JSON.parse` says, everything beyond it is found by walking
 * the tokens of a text that is known to be well formed. Duplicates, fractions, exponents, large integers and unpaired
 * surrogates are refused. https://spec.matrix.org/v1.19/appendices/#canonical-json
 */

export type StrictVerdict = 'fine' | 'encoding' | 'syntax' | 'duplicate' | 'number' | 'range' | 'surrogate' | 'depth'

const TOKEN = /"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|[{}[\],:]|true|false|null/gsu
const LIMIT = 2n ** 53n - 1n

function decoded(bytes: Uint8Array): string | undefined {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

function isWellFormedJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function numberVerdict(token: string): StrictVerdict {
  if (/[.eE]/.test(token)) return 'number'
  const value = BigInt(token)
  return value > LIMIT || value < -LIMIT ? 'range' : 'fine'
}

function stringVerdict(token: string): StrictVerdict {
  const text: unknown = JSON.parse(token)
  return typeof text === 'string' && text.isWellFormed() ? 'fine' : 'surrogate'
}

/** All faults of a text whose syntax is good; an empty set means that it is fine. */
function faults(text: string, maxDepth: number): ReadonlySet<StrictVerdict> {
  const found = new Set<StrictVerdict>()
  const open: (Set<string> | 'array')[] = []
  const tokens = text.match(TOKEN) ?? []
  tokens.forEach((token, at) => {
    const around = open.at(-1)
    if (token === '{' || token === '[') {
      open.push(token === '{' ? new Set() : 'array')
      if (open.length > maxDepth) found.add('depth')
    } else if (token === '}' || token === ']') {
      open.pop()
    } else if (token.startsWith('"')) {
      found.add(stringVerdict(token))
      if (tokens[at + 1] === ':' && around instanceof Set) {
        const key = String(JSON.parse(token))
        if (around.has(key)) found.add('duplicate')
        around.add(key)
      }
    } else if (/^[-0-9]/.test(token)) {
      found.add(numberVerdict(token))
    }
  })
  found.delete('fine')
  return found
}

/** What is wrong with the bytes: nothing (`fine` alone), or every fault that a reader may name. */
export function strictVerdicts(bytes: Uint8Array, maxDepth: number): ReadonlySet<StrictVerdict> {
  const text = decoded(bytes)
  if (text === undefined) return new Set(['encoding'])
  if (!isWellFormedJson(text)) return new Set(['syntax'])
  const found = faults(text, maxDepth)
  return found.size === 0 ? new Set(['fine']) : found
}
