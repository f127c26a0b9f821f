/** The versions of a store's tables, and what becomes of a store that has one of them. */

export interface SchemaVersions {
  readonly newest: number
  /** Why tables of a version are refused; undefined where this program knows them. */
  flaw(version: number): string | undefined
  /** The migrations that are still to be made. @param version undefined where there are no tables yet */
  missing(version: number | undefined): readonly string[]
}

/** @param first the version of the tables that the first migration makes */
export function schemaVersions(first: number, migrations: readonly string[]): SchemaVersions {
  const newest = first + migrations.length - 1
  return {
    newest,
    flaw(version) {
      if (version > newest) {
        return `the store has schema version ${version}, this program knows versions up to ${newest}: use a newer program`
      }
      if (version < first) {
        return `the store has schema version ${version}, of a program before 0.1.0: start with a new store, and import its rooms`
      }
      return undefined
    },
    missing: (version = first - 1) => migrations.slice(version - first + 1),
  }
}
