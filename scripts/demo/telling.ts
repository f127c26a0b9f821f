/** How a demo tells what it does: numbered steps, what holds and what does not, and everything tidied up in the end. */

/** What is to be undone, in the order in which it was done. */
export type Undo = (() => Promise<unknown>)[]

let failures = 0
let steps = 0

/** Plays the story, tidies up whatever happens, and sets the exit code: 0 only if all went as told. */
export async function tell(play: (undo: Undo) => Promise<void>): Promise<void> {
  const undo: Undo = []
  const tidyUp = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void tidyUp().finally(() => process.exit(1)))
  }
  try {
    await play(undo)
  } catch (error) {
    fails(error instanceof Error ? error.message : String(error))
  } finally {
    await tidyUp()
  }
  say('')
  say(failures === 0 ? 'All went as told.' : `${failures} thing(s) did not go as told.`)
  process.exitCode = failures === 0 ? 0 : 1
}

export function step(title: string, explanation: string): void {
  steps += 1
  say(`\n${steps}. ${title}. ${explanation}`)
}

export function expect(holds: boolean, what: string): void {
  if (holds) say(`   ✓ ${what}`)
  else fails(`NOT as told: ${what}`)
}

function fails(what: string): void {
  failures += 1
  say(`   ✗ ${what}`)
}

export function quote(text: string): void {
  for (const line of text.trimEnd().split('\n')) say(`   | ${line}`)
}

export function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
