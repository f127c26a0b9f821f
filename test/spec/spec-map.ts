/** The map from acceptance lines to the tests whose titles carry their ids, as a page. */
import type { AcceptanceLine, AcceptanceSection } from './acceptance-lines.ts'

/** A test as the runner lists it. */
export interface ListedTest {
  /** From the folder of the tests on. */
  readonly file: string
  /** Titles of its groups and its own, joined with ` > `. */
  readonly name: string
  /** Where it is written: the same place for each case of a table. */
  readonly place: string | undefined
}

export interface SpecMap {
  readonly page: string
  /** Lines that must have a test and have none. */
  readonly untested: readonly string[]
  /** Ids at the beginning of titles that are no lines, as `id: title`. */
  readonly unknown: readonly string[]
}

export function createSpecMap(sections: readonly AcceptanceSection[], tests: readonly ListedTest[]): SpecMap {
  const byLine = testsByLine(tests)
  const lines = sections.flatMap(({ lines }) => lines.map(({ id }) => id))
  const needed = sections.filter(({ notYet }) => notYet !== true).flatMap(({ lines }) => lines.map(({ id }) => id))
  return {
    page: `${[HEAD, ...sections.map((section) => renderSection(section, byLine))].join('\n\n')}\n`,
    untested: needed.filter((id) => !byLine.has(id)),
    unknown: tests.flatMap(({ name }) => {
      return leadingIds(name)
        .filter((id) => !lines.includes(id))
        .map((id) => `${id}: ${name}`)
    }),
  }
}

const HEAD = `# Acceptance lines and their tests

Each line of what the service must do, and the tests whose titles carry its id. The number is how many cases a test has; "…"
stands where they differ. Written by \`npm run generate\`, and \`npm run check\` fails where it is not up to date or a line has no
test.`

function testsByLine(tests: readonly ListedTest[]): ReadonlyMap<string, readonly ListedTest[]> {
  return gather(tests, ({ name }) => [...new Set(name.match(/\b[A-H][1-9]\d?\b/g))])
}

/** Under each key the tests that have it, in their order. */
function gather(
  tests: readonly ListedTest[],
  keysOf: (test: ListedTest) => readonly string[],
): ReadonlyMap<string, readonly ListedTest[]> {
  const gathered = new Map<string, ListedTest[]>()
  for (const test of tests) {
    for (const key of keysOf(test)) {
      const others = gathered.get(key)
      if (others === undefined) gathered.set(key, [test])
      else others.push(test)
    }
  }
  return gathered
}

/** The ids with which the last title of a name begins: `B3 B4 …`, `G3: …`, `E6 and E2 …`. */
function leadingIds(name: string): readonly string[] {
  const title = name
    .slice(name.lastIndexOf(' > ') + 1)
    .trimStart()
    .replace(/^> /, '')
  const [lead = ''] = /^(?:(?:and )?[A-H]\d+\b:? ?)*/.exec(title) ?? []
  return lead.match(/[A-H]\d+/g) ?? []
}

function renderSection(
  { title, lines, notYet }: AcceptanceSection,
  byLine: ReadonlyMap<string, readonly ListedTest[]>,
) {
  const heading = `## ${title}`
  return [heading, ...lines.map((line) => renderLine(line, byLine.get(line.id) ?? [], notYet))].join('\n\n')
}

function renderLine({ id, text }: AcceptanceLine, tests: readonly ListedTest[], notYet: true | undefined): string {
  const entries = groupsOf(tests).map(renderGroup).sort()
  const missing = notYet ? 'Not yet.' : 'No test.'
  return [`### ${id}`, text, entries.length === 0 ? missing : entries.join('\n')].join('\n\n')
}

/** The cases of one table together. */
function groupsOf(tests: readonly ListedTest[]): readonly (readonly ListedTest[])[] {
  return [...gather(tests, ({ file, name, place }) => [`${file} ${place ?? name}`]).values()]
}

function renderGroup(tests: readonly ListedTest[]): string {
  const [{ file } = { file: '' }] = tests
  const cases = tests.length === 1 ? '' : ` (${tests.length})`
  return `- [${file}](../${file}): ${escapeMarkdown(commonTitle(tests.map(({ name }) => name)))}${cases}`
}

/** What the titles of the cases share, title by title. */
export function commonTitle(names: readonly string[]): string {
  const parts = names.map((name) => name.split(' > '))
  const [first = []] = parts
  if (parts.some(({ length }) => length !== first.length)) return commonWords(names)
  return first.map((_, at) => commonWords(parts.map((titles) => titles[at] ?? ''))).join(' > ')
}

/** The words with which all texts begin and end, and "…" for those between. */
function commonWords(texts: readonly string[]): string {
  const split = texts.map((text) => text.split(' '))
  const [first = []] = split
  if (texts.every((text) => text === texts[0])) return first.join(' ')
  const shortest = Math.min(...split.map(({ length }) => length))
  const shared = (wordOf: (words: readonly string[], at: number) => string | undefined, most: number): number => {
    let count = 0
    while (count < most && split.every((words) => wordOf(words, count) === wordOf(first, count))) count++
    return count
  }
  const before = shared((words, at) => words[at], shortest - 1)
  const after = shared((words, at) => words[words.length - 1 - at], shortest - 1 - before)
  return [...first.slice(0, before), '…', ...(after === 0 ? [] : first.slice(-after))].join(' ')
}

function escapeMarkdown(text: string): string {
  return text.replace(/[\\`*<>[\]|]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])/g, '\\$&').replaceAll(' \\> ', ' → ')
}
