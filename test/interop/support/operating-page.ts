/** The instructions of docs/operating.md: what an operator of each homeserver is told to run and to write, step by step. */
import { readFile } from 'node:fs/promises'

/** A fenced block of the page. */
export interface Block {
  readonly language: string
  readonly lines: readonly string[]
}

/** What one numbered step asks for, in order. */
export interface Step {
  readonly title: string
  readonly blocks: readonly Block[]
}

const PAGE = new URL('../../../docs/operating.md', import.meta.url)

/** @param section heading of the part for one homeserver @throws Error where the page has no such part or no steps in it */
export async function readSteps(section: string): Promise<readonly Step[]> {
  const page = await readFile(PAGE, 'utf8')
  const part = page.split(/^## /m).find((text) => text.startsWith(`${section}\n`)) ?? ''
  const steps = part.split(/^### /m).slice(1)
  if (steps.length === 0) throw new Error(`docs/operating.md has no steps under ${section}`)
  return steps.map((text, at) => {
    const [title = ''] = text.split('\n', 1)
    if (!title.startsWith(`${at + 1}. `)) throw new Error(`docs/operating.md: step ${at + 1} is headed ${title}`)
    return { title, blocks: blocksOf(text) }
  })
}

function blocksOf(text: string): readonly Block[] {
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language = '', content = '']) => ({
    language,
    lines: content.trimEnd().split('\n'),
  }))
}
