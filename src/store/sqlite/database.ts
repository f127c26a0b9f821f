/** A connection as the rest of this store uses it: every text that is bound or read is taken through bound-text.ts. */
import type { DatabaseSync } from '@photostructure/sqlite'
import { fromBound, toBound } from './bound-text.ts'

export type Parameter = string | number | bigint | null | undefined

export interface Statement {
  run(...parameters: Parameter[]): { readonly changes: number | bigint; readonly lastInsertRowid: number | bigint }
  /** The first row, or undefined where there is none. */
  get(...parameters: Parameter[]): unknown
  all(...parameters: Parameter[]): unknown[]
}

export interface Database {
  readonly isOpen: boolean
  readonly isTransaction: boolean
  prepare(sql: string): Statement
  exec(sql: string): void
  close(): void
}

type Connection = InstanceType<typeof DatabaseSync>
/** A statement as the library prepares it. */
type Prepared = ReturnType<Connection['prepare']>
type Row = Record<string, unknown>

export function createDatabase(connection: Connection): Database {
  return {
    get isOpen() {
      return connection.isOpen
    },
    get isTransaction() {
      return connection.isTransaction
    },
    prepare: (sql) => createStatement(connection.prepare(sql)),
    exec: (sql) => connection.exec(sql),
    close: () => connection.close(),
  }
}

function createStatement(statement: Prepared): Statement {
  return {
    run: (...parameters) => statement.run(...parameters.map(bound)),
    get(...parameters) {
      const row = statement.get(...parameters.map(bound)) as Row | undefined
      return row && read(row)
    },
    all: (...parameters) => (statement.all(...parameters.map(bound)) as Row[]).map(read),
  }
}

function bound(parameter: Parameter): Parameter {
  return typeof parameter === 'string' ? toBound(parameter) : parameter
}

/** The row itself, with its texts as they were before they were bound. */
function read(row: Row): Row {
  for (const column in row) {
    const value = row[column]
    if (typeof value === 'string') row[column] = fromBound(value)
  }
  return row
}
