/**
 * Prints what was played beside homeservers, cell by cell, writes it to `test-results/interop.md`, and fails a run of all
 * files in which a cell stayed empty.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Reporter, TestModule, TestSpecification, Vitest } from 'vitest/node'
import { DENDRITE_VERSION, SYNAPSE_VERSION } from './install.ts'
import { type Cell, kindsIn, SCENARIOS, type ScenarioName } from './scenarios.ts'
import { EVERY_SETTING, kindName } from './settings.ts'

const DIRECTORY = 'test-results'
const SHOWN = 3

/** A cell that has to be filled. */
type Wanted = Omit<Cell, 'evidence'>

export function tableReporter(): Reporter {
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
      if (cells.length === 0 && !isWhole) return
      const table = tableOf(cells)
      await mkdir(DIRECTORY, { recursive: true })
      await writeFile(join(DIRECTORY, 'interop.md'), table.join('\n'))
      const empty = wanted().filter((cell) => !cells.some((played) => isSame(played, cell)))
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

function wanted(): readonly Wanted[] {
  return (Object.keys(SCENARIOS) as ScenarioName[]).flatMap((scenario) =>
    EVERY_SETTING.flatMap((setting) =>
      kindsIn(SCENARIOS[scenario], setting).map((kind) => ({ scenario, setting: setting.name, kind: kindName(kind) })),
    ),
  )
}

function isSame(left: Wanted, right: Wanted): boolean {
  return left.scenario === right.scenario && left.setting === right.setting && left.kind === right.kind
}

function tableOf(cells: readonly Cell[]): readonly string[] {
  const rows = wanted().map((cell) => {
    const evidence = cells.find((played) => isSame(played, cell))?.evidence
    return `| ${SCENARIOS[cell.scenario].title} | ${cell.setting} | ${cell.kind} | ${shown(evidence)} |`
  })
  const programs = `Synapse ${SYNAPSE_VERSION}, Dendrite ${process.env.DENDRITE_BIN ?? DENDRITE_VERSION}`
  return [programs, '', '| scenario | setting | room version | knocks and answers |', '|---|---|---|---|', ...rows]
}

function shown(evidence: readonly string[] | undefined): string {
  if (evidence === undefined) return '**not played**'
  const more = evidence.length - SHOWN
  return [...evidence.slice(0, SHOWN), ...(more > 0 ? [`and ${more} more`] : [])].join(', ')
}
