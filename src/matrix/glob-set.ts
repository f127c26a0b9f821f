/**
 * Whether any of many globs matches a text: `*` is any run of characters, `?` exactly one, all else is itself.
 * https://spec.matrix.org/latest/appendices/#glob-style-matching
 */

export interface GlobSet {
  /** Whether one of the globs matches the whole text. */
  matches(text: string): boolean
}

/**
 * Prepares globs. Names without wildcards, and globs whose one wildcard is a `*` at an end, are looked up. All others
 * are followed at once, a bit for each of their characters: the length of the text times a 32nd of their length
 * together, whatever they are made of. Case counts.
 * @param globs any texts; what they are together bounds the time and the memory
 */
export function compileGlobs(globs: Iterable<string>): GlobSet {
  const names = new Set<string>()
  const beginnings = createPieces((text, length) => text.slice(0, length))
  const ends = createPieces((text, length) => text.slice(text.length - length))
  const others: string[] = []
  for (const glob of globs) {
    const first = wildcardIn(glob, 0)
    if (first < 0) names.add(glob)
    else if (glob[first] === '?' || (first > 0 && first < glob.length - 1)) others.push(glob)
    else if (first > 0) beginnings.add(glob.slice(0, -1))
    else if (wildcardIn(glob, 1) < 0) ends.add(glob.slice(1))
    else others.push(glob)
  }
  const automaton = others.length === 0 ? undefined : createAutomaton(others)
  return {
    matches: (text) => names.has(text) || beginnings.matches(text) || ends.matches(text) || automaton?.(text) === true,
  }
}

/** Where the first wildcard from some place on is; -1 where there is none. */
function wildcardIn(glob: string, from: number): number {
  const star = glob.indexOf('*', from)
  const one = glob.indexOf('?', from)
  return star < 0 || (one >= 0 && one < star) ? one : star
}

/** Texts that are looked for at one end of another, by the lengths that there are. */
function createPieces(pieceOf: (text: string, length: number) => string) {
  const pieces = new Set<string>()
  const lengths = new Set<number>()
  return {
    add(piece: string): void {
      pieces.add(piece)
      lengths.add(piece.length)
    },
    matches(text: string): boolean {
      for (const length of lengths) {
        if (length <= text.length && pieces.has(pieceOf(text, length))) return true
      }
      return false
    },
  }
}

const STAR = 0x2a
const QUESTION_MARK = 0x3f
/** In the place of a letter: what no character of a text is. */
const NONE = 0

/**
 * Follows all globs through a text at once. Each glob has a place before its first character and one after each of its
 * characters; a bit says that the text so far can have led there. A `*` lets a place be kept.
 * G. Navarro and M. Raffinot, Flexible Pattern Matching in Strings, section 4.
 */
function createAutomaton(globs: readonly string[]): (text: string) => boolean {
  // A star has no place of its own, and a glob has one more than characters.
  const most = globs.reduce((sum, { length }) => sum + length + 1, 0)
  const words = Math.ceil(most / 32)
  const [begun, kept, done, any] = [bits(words), bits(words), bits(words), bits(words)]
  /** The character that leads to each place, by its number in the alphabet. */
  const letters = new Int32Array(most)
  const alphabet = new Map<number, number>()
  let place = -1
  for (const glob of globs) {
    place++
    set(begun, place)
    for (let at = 0; at < glob.length; at++) {
      const character = glob.codePointAt(at) as number
      if (character > 0xffff) at++
      if (character === STAR) set(kept, place)
      else if (character === QUESTION_MARK) set(any, ++place)
      else letters[++place] = numberOf(character, alphabet)
    }
    set(done, place)
  }
  const used = letters.slice(0, place + 1)

  return (text) => {
    const entered = placesEntered(text, { letters: used, alphabet, any })
    const reached = begun.slice()
    for (const into of entered) if (!advance(reached, into, kept)) return false
    return reached.some((word, at) => (word & (done[at] as number)) !== 0)
  }
}

function bits(words: number): Int32Array {
  return new Int32Array(words)
}

function set(words: Int32Array, bit: number): void {
  const at = bit >>> 5
  words[at] = (words[at] as number) | (1 << (bit & 31))
}

function numberOf(character: number, alphabet: Map<number, number>): number {
  const known = alphabet.get(character)
  if (known !== undefined) return known
  const next = alphabet.size + NONE + 1
  alphabet.set(character, next)
  return next
}

interface Places {
  readonly letters: Int32Array
  readonly alphabet: ReadonlyMap<number, number>
  /** Those that any character leads to. */
  readonly any: Int32Array
}

/**
 * The places that each character of a text leads to, in the order of the text. Made anew for each text: kept for all
 * letters, they would be many times what the globs are.
 */
function placesEntered(text: string, { letters, alphabet, any }: Places): readonly Int32Array[] {
  const byLetter: (Int32Array | undefined)[] = new Array(alphabet.size + NONE + 1).fill(undefined)
  const inOrder = Array.from(text, (character) => {
    const letter = alphabet.get(character.codePointAt(0) as number)
    if (letter === undefined) return any
    byLetter[letter] ??= any.slice()
    return byLetter[letter]
  })
  for (let place = 0; place < letters.length; place++) {
    const words = byLetter[letters[place] as number]
    if (words !== undefined) set(words, place)
  }
  return inOrder
}

/** Takes one character. @returns whether any place is still reached */
function advance(reached: Int32Array, entered: Int32Array, kept: Int32Array): boolean {
  let left = 0
  // From the end, so that a word is moved before the one that moves into it.
  for (let at = reached.length - 1; at >= 0; at--) {
    const here = reached[at] as number
    const before = at === 0 ? 0 : (reached[at - 1] as number) >>> 31
    if ((here | before) === 0) continue
    const next = (((here << 1) | before) & (entered[at] as number)) | (here & (kept[at] as number))
    reached[at] = next
    left |= next
  }
  return left !== 0
}
