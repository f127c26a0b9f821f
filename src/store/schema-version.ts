/** The version of a store's tables, and what is said of one that this program does not know. */

export interface SchemaVersions {
  /** That of the first migration. */
  readonly first: number
  /** That of the newest. */
  readonly newest: number
}

/** Why a store with tables of some version is refused; undefined where this program knows them. */
export function versionFlaw(version: number, { first, newest }: SchemaVersions): string | undefined {
  if (version > newest) {
    return `the store has schema version ${version}, this program knows versions up to ${newest}: use a newer program`
  }
  if (version < first) {
    return `the store has schema version ${version}, of a program before 0.1.0: start with a new store, and import its rooms`
  }
  return undefined
}
