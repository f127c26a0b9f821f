/**
 * Text as a terminal may have it. What strangers wrote reaches operators in names, reasons and errors; a character that
 * moves the cursor, turns the direction of reading or is not seen at all would let them write the rest of the screen too.
 */

/** Controls (C0, C1), formats and marks of direction, separators of lines, lone surrogates, and what has no width. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu
const PLAIN = /^[ -~]*$/

/**
 * A line in which every character is seen: others are written as `\u202e`. A line of JSON remains JSON, of the same
 * values: inside its texts that is how JSON writes them, and outside it has none of them but white space.
 */
export function visible(line: string): string {
  return PLAIN.test(line) ? line : line.replace(UNSEEN, escaped)
}

/** The same with the escapes of running text, `\u{202e}`. */
export function printable(text: string): string {
  return text.replace(UNSEEN, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`)
}

/**
 * A record of the log, for whoever shows its values as they are, not as JSON.
 * @param record one object of JSON
 */
export function visibleRecord(record: string): string {
  return JSON.stringify(JSON.parse(record, (key, value) => (typeof value === 'string' ? shown(key, value) : value)))
}

function shown(key: string, text: string): string {
  return key === 'stack' ? stackLines(text).map(visible).join('\n') : visible(text)
}

/** The lines of a stack trace: the message, which may hold others, and one for each place. */
export function stackLines(stack: string): readonly string[] {
  return stack.split(/\n(?= {4}at )/)
}

/** One escape for each unit of UTF-16, as JSON has them. */
function escaped(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('')
}
