/**
 * Prints what was played beside homeservers, cell by cell, writes it to `test-results/interop.md`, and fails a run of all
 * files in which a cell stayed empty.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Reporter, TestModule, TestSpecification, Vitest } from 'vitest/node'
import { SYNAPSE_VERSION } from './install.ts'
import { dendriteVersion } from './room-versions.ts'
import { type Cell, kindsIn, playableIn, SCENARIOS, type ScenarioName } from './scenarios.ts'
import { EVERY_SETTING, kindName, WITH_FEED } from './settings.ts'
import { LET_IN, type Outcome, type PlayedShape } from './toolbox-stage.ts'

const DIRECTORY = 'test-results'
const SHOWN = 3

/** A cell of the table. */
interface Wanted extends Omit<Cell, 'evidence'> {
  /** Its homeserver has no rooms of that version, so there is nothing to fill it with. */
  readonly isLacking: boolean
}

/** `npm run test:interop` names this file to the runner, which calls its default export. */
export default function tableReporter(): Reporter {
  let vitest: Vitest | undefined
  let files = 0
  return {
    onInit(started) {
      vitest = started
    },
    onTestRunStart(specifications: readonly TestSpecification[]) {
      files = specifications.length
    },
    async onTestRunEnd(modules: readonly TestModule[]) {
      const cells = modules.flatMap(cellsOf)
      const isWhole = vitest !== undefined && files === (await vitest.globTestSpecifications()).length
      const shapes = modules.flatMap(shapesOf)
      if (cells.length === 0 && shapes.length === 0 && !isWhole) return
      const table = [...tableOf(cells), '', ...tableOfShapes(shapes)]
      await mkdir(DIRECTORY, { recursive: true })
      await writeFile(join(DIRECTORY, 'interop.md'), table.join('\n'))
      const empty = wanted().filter((cell) => !cell.isLacking && !cells.some((played) => isSame(played, cell)))
      const isFailure = isWhole && empty.length > 0
      const told = `${cells.length} cells played, ${empty.length} empty; also in ${join(DIRECTORY, 'interop.md')}`
      process.stdout.write(`\n${table.join('\n')}\n${isFailure ? 'FAILED: ' : ''}${told}\n`)
      if (isFailure) process.exitCode = 1
    },
  }
}

function cellsOf(module: TestModule): readonly Cell[] {
  return [...module.children.allTests('passed')].flatMap((test) => test.meta().cell ?? [])
}

/** Failed ones too: what did not come in is to be seen above all. */
function shapesOf(module: TestModule): readonly PlayedShape[] {
  return [...module.children.allTests()].flatMap((test) => test.meta().shape ?? [])
}

function wanted(): readonly Wanted[] {
  return (Object.keys(SCENARIOS) as ScenarioName[]).flatMap((scenario) =>
    EVERY_SETTING.flatMap((setting) => {
      const playable = playableIn(SCENARIOS[scenario], setting)
      return kindsIn(SCENARIOS[scenario], setting).map((kind) => {
        return { scenario, setting: setting.name, kind: kindName(kind), isLacking: !playable.includes(kind) }
      })
    }),
  )
}

function isSame(left: Cell, right: Wanted): boolean {
  return left.scenario === right.scenario && left.setting === right.setting && left.kind === right.kind
}

function tableOf(cells: readonly Cell[]): readonly string[] {
  const rows = wanted().map((cell) => {
    const evidence = cells.find((played) => isSame(played, cell))?.evidence
    const filled = cell.isLacking ? 'not in this Dendrite' : shown(evidence)
    return `| ${SCENARIOS[cell.scenario].title} | ${cell.setting} | ${cell.kind} | ${filled} |`
  })
  const programs = `Synapse ${SYNAPSE_VERSION}, Dendrite ${dendriteVersion()}`
  return [programs, '', '| scenario | setting | room version | knocks and answers |', '|---|---|---|---|', ...rows]
}

function tableOfShapes(shapes: readonly PlayedShape[]): readonly string[] {
  const settings = WITH_FEED.map(({ name }) => name)
  const rows = [...new Set(shapes.map(({ title }) => title))].map((title) => {
    const cells = settings.map((setting) => {
      const played = shapes.find((shape) => shape.title === title && shape.setting === setting)
      return played === undefined ? 'not played' : played.outcomes.map(becameOf).join('; ')
    })
    return `| ${title} | ${cells.join(' | ')} |`
  })
  return [`| shape | ${settings.join(' | ')} |`, `|---|${'---|'.repeat(settings.length)}`, ...rows]
}

/** What became of a shape by one way, and of the witness where it was not let in. */
function becameOf({ way, status, isIn, witness }: Outcome): string {
  const told = `${way} ${status}: ${isIn ? '' : 'not '}in the room`
  return witness === LET_IN ? told : `${told}, **then ${witness.split('{')[0]?.trim()}**`
}

function shown(evidence: readonly string[] | undefined): string {
  if (evidence === undefined) return '**not played**'
  const more = evidence.length - SHOWN
  return [...evidence.slice(0, SHOWN), ...(more > 0 ? [`and ${more} more`] : [])].join(', ')
}
