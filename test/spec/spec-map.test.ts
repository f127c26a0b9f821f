import { describe, expect, it } from 'vitest'
import { ACCEPTANCE, type AcceptanceSection } from './acceptance-lines.ts'
import { createSpecMap, type ListedTest } from './spec-map.ts'

const SECTIONS: readonly AcceptanceSection[] = [
  {
    title: 'Doors',
    lines: [
      { id: 'A1', text: 'A door opens.' },
      { id: 'A12', text: 'A door closes.' },
    ],
  },
  { title: 'Windows', notYet: true, lines: [{ id: 'B1', text: 'A window opens.' }] },
]

function listed(name: string, place?: string, file = 'house.test.ts'): ListedTest {
  return { file, name, place }
}

describe('the map from acceptance lines to tests', () => {
  it('names each line with the tests whose titles carry its id, and with no others', () => {
    const tests = [
      listed('doors > A1 opens'),
      listed('doors > A12: closes'),
      listed('A1 A12 > both'),
      listed('doors > creaks'),
    ]
    const { page } = createSpecMap(SECTIONS, tests)
    expect(page.slice(page.indexOf('## '))).toBe(`## Doors

### A1

A door opens.

- [house.test.ts](../house.test.ts): A1 A12 → both
- [house.test.ts](../house.test.ts): doors → A1 opens

### A12

A door closes.

- [house.test.ts](../house.test.ts): A1 A12 → both
- [house.test.ts](../house.test.ts): doors → A12: closes

## Windows

### B1

A window opens.

Not yet.
`)
  })

  it('tells of lines without a test, but for those that are not yet to have one', () => {
    const { page, untested } = createSpecMap(SECTIONS, [listed('doors > A1 opens')])
    expect(untested).toEqual(['A12'])
    expect(page).toContain('A door closes.\n\nNo test.')
    expect(createSpecMap(SECTIONS, [listed('B1 opens')]).page).toContain('A window opens.\n\n- [house')
  })

  it('tells of ids at the beginning of a title that are no lines', () => {
    const names = ['doors > A2 opens', 'A1 and A3 open', 'doors > A1 opens 32 B8 times', 'A1: A4 opens', 'Z9 opens']
    expect(
      createSpecMap(
        SECTIONS,
        names.map((name) => listed(name)),
      ).unknown,
    ).toEqual(['A2: doors > A2 opens', 'A3: A1 and A3 open', 'A4: A1: A4 opens'])
  })

  it.each<[string, readonly string[], string]>([
    ['the middle', ['A1 a red door opens', 'A1 a green door opens'], 'A1 a … door opens (2)'],
    ['the end', ['A1 opens for all', 'A1 opens for a few'], 'A1 opens for … (2)'],
    ['a group', ['doors of 7 > A1 open', 'doors of 12 > A1 open'], 'doors of … → A1 open (2)'],
    ['a part of a word alone', ['A1 opens at 7', 'A1 opens at 71', 'A1 opens at 17'], 'A1 opens at … (3)'],
    ['nothing', ['A1 opens', 'A1 opens'], 'A1 opens (2)'],
    ['the number of titles', ['A1 opens', 'A1 > opens'], 'A1 … (2)'],
  ])('shows the cases of one table together where they differ in %s', (_what, names, shown) => {
    const { page } = createSpecMap(
      SECTIONS,
      names.map((name) => listed(name, '1:1')),
    )
    expect(page).toContain(`- [house.test.ts](../house.test.ts): ${shown}\n`)
  })

  it('shows titles as they are, whatever Markdown would make of them', () => {
    const { page } = createSpecMap(SECTIONS, [listed('A1 __proto__ *opens* make_knock <b> [x](y)')])
    expect(page).toContain('A1 \\_\\_proto\\_\\_ \\*opens\\* make_knock \\<b\\> \\[x\\](y)\n')
  })
})

it('the acceptance lines have their letters and numbers in order', () => {
  const counts = { A: 7, B: 10, C: 8, D: 6, E: 6, F: 13, G: 4, H: 5 }
  const expected = Object.entries(counts).map(([letter, count]) => {
    return Array.from({ length: count }, (_, at) => `${letter}${at + 1}`)
  })
  expect(ACCEPTANCE.map(({ lines }) => lines.map(({ id }) => id))).toEqual(expected)
})
