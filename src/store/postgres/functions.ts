/**
 * The functions in the database. They are part of the program, not of its tables: at each start those whose text differs
 * from the program's are created anew, so that a change of one reaches every database.
 */
import type { Run, Statement } from './database.ts'
import { DELIVERY_FUNCTIONS } from './delivery-functions.ts'
import { RECORD_KNOCKS } from './record-knocks.ts'

interface DatabaseFunction {
  readonly name: string
  /** What is between its dollars, as the catalogue keeps it. */
  readonly body: string
  readonly text: string
}

const FUNCTIONS: readonly DatabaseFunction[] = [...DELIVERY_FUNCTIONS, RECORD_KNOCKS].map(functionOf)

function functionOf(text: string): DatabaseFunction {
  const [, name, body] = /^\s*CREATE FUNCTION (\w+)\([\s\S]*? AS \$\$([\s\S]*)\$\$;\s*$/.exec(text) ?? []
  if (name === undefined || body === undefined) throw new Error(`no function of the database: ${text.slice(0, 100)}`)
  return { name, body, text }
}

const PRESENT: Statement = {
  name: 'functions-present',
  text: `
    SELECT p.proname AS name, p.prosrc AS body, p.oid::regprocedure::text AS signature FROM pg_proc p
    WHERE p.pronamespace = current_schema()::regnamespace AND p.proname = ANY ($1::name[])`,
}

interface PresentFunction {
  readonly name: string
  readonly body: string
  /** With the types of its arguments, quoted as SQL needs it. */
  readonly signature: string
}

/** Whether the database has each function as this program has it, and none beside it of the same name. */
export async function areFunctionsCurrent(run: Run): Promise<boolean> {
  return differing(await presentIn(run)).length === 0
}

/** Creates anew what differs: what a function takes and answers may differ too, so the one that is there goes first. */
export async function createFunctions(run: Run): Promise<void> {
  const present = await presentIn(run)
  for (const { name, text } of differing(present)) {
    for (const { signature } of present.filter((one) => one.name === name)) {
      await run({ text: `DROP FUNCTION ${signature}` })
    }
    await run({ text })
  }
}

function presentIn(run: Run): Promise<readonly PresentFunction[]> {
  return run<PresentFunction>(PRESENT, [FUNCTIONS.map(({ name }) => name)])
}

function differing(present: readonly PresentFunction[]): readonly DatabaseFunction[] {
  return FUNCTIONS.filter(({ name, body }) => {
    const [first, ...more] = present.filter((one) => one.name === name)
    return first?.body !== body || more.length > 0
  })
}
