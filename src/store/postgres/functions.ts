/**
 * The functions in the database. They are part of the program, not of its tables: at each start those whose text differs
 * from the program's are created anew, so that a change of one reaches every database.
 */
import { createHash } from 'node:crypto'
import type { Run, Statement } from './database.ts'
import { DELIVERY_FUNCTIONS } from './delivery-functions.ts'
import { RECORD_KNOCKS } from './record-knocks.ts'

interface DatabaseFunction {
  readonly name: string
  readonly text: string
  /** Of the text, so that a change of its head alone is seen too. */
  readonly hash: string
}

const FUNCTIONS: readonly DatabaseFunction[] = [...DELIVERY_FUNCTIONS, RECORD_KNOCKS].map(functionOf)

function functionOf(text: string): DatabaseFunction {
  const [, name] = /^\s*CREATE FUNCTION (\w+)\(/.exec(text) ?? []
  if (name === undefined) throw new Error(`no function of the database: ${text.slice(0, 100)}`)
  return { name, text, hash: createHash('sha256').update(text).digest('hex').slice(0, 16) }
}

const PRESENT: Statement = {
  name: 'functions-present',
  text: `
    SELECT p.proname AS name, p.oid::regprocedure::text AS signature, md5(pg_get_functiondef(p.oid)) AS definition,
      obj_description(p.oid, 'pg_proc') AS mark
    FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace AND p.proname = ANY ($1::name[])`,
}

interface PresentFunction {
  readonly name: string
  /** With the types of its arguments, quoted as SQL needs it. */
  readonly signature: string
  /** A hash of what the database has. */
  readonly definition: string
  /** Its comment: what it was made of, and what the database made of that. */
  readonly mark: string | null
}

/** Whether the database has each function as this program has it, and none beside it of the same name. */
export async function areFunctionsCurrent(run: Run): Promise<boolean> {
  return differing(await presentIn(run)).length === 0
}

/** Creates anew what differs: what a function takes and answers may differ too, so the one that is there goes first. */
export async function createFunctions(run: Run): Promise<void> {
  const present = await presentIn(run)
  const wanted = differing(present)
  for (const { name, text } of wanted) {
    for (const { signature } of present.filter((one) => one.name === name)) {
      await run({ text: `DROP FUNCTION ${signature}` })
    }
    await run({ text })
  }
  const made = await presentIn(run)
  for (const { name, hash } of wanted) {
    for (const one of made.filter((candidate) => candidate.name === name)) {
      await run({ text: `COMMENT ON FUNCTION ${one.signature} IS '${markOf(hash, one)}'` })
    }
  }
}

/** Whoever changes either of the two makes another mark. */
function markOf(hash: string, { definition }: PresentFunction): string {
  return `matrix-knock ${hash} ${definition}`
}

function presentIn(run: Run): Promise<readonly PresentFunction[]> {
  return run<PresentFunction>(PRESENT, [FUNCTIONS.map(({ name }) => name)])
}

function differing(present: readonly PresentFunction[]): readonly DatabaseFunction[] {
  return FUNCTIONS.filter(({ name, hash }) => {
    const [first, ...more] = present.filter((one) => one.name === name)
    return first === undefined || first.mark !== markOf(hash, first) || more.length > 0
  })
}
