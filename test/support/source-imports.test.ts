import { describe, expect, it } from 'vitest'
import { importsOf } from './source-imports.ts'

const SOURCE = `#!/usr/bin/env node
/**
 * Not an import:
 * import { no } from './comment.ts'
 */
import 'side-effect'
import byDefault from 'default'
import both, { named } from 'both'
import * as all from 'namespace'
import type { OnlyType } from './only-type.ts'
import { type A, b as c, d } from './mixed.ts'
import {
  one,
  // import { no } from './line-comment.ts'
  two,
} from './several-lines.ts'
export * from './everything.ts'
export * as group from './group.ts'
export { x, type Y as Z } from './some.ts'
export type { T } from './types-of-others.ts'

export const from = 'nowhere'
export function later(): Promise<unknown> {
  const text = "import { no } from './text.ts'"
  return import('./dynamic.ts').then(() => text)
}
export const type = "export const from 'nothing'"
`

describe('the imports of a source', () => {
  it('are found in every form, and nowhere else', () => {
    const found = importsOf(SOURCE).map(({ specifier, names, typeOnly, reexport }) => {
      return [specifier, names.join(), ...(typeOnly ? ['type'] : []), ...(reexport ? ['export'] : [])].join(' | ')
    })
    expect(found).toEqual([
      'default | default',
      'both | default,named',
      'namespace | *',
      './only-type.ts | OnlyType | type',
      './mixed.ts | A,b,d',
      './several-lines.ts | one,two',
      './everything.ts | * | export',
      './group.ts | * | export',
      './some.ts | x,Y | export',
      './types-of-others.ts | T | type | export',
      'side-effect | ',
      './dynamic.ts | *',
    ])
  })

  it('cannot be what only the running program knows', () => {
    expect(() => importsOf('await import(path)')).toThrow('import(path)')
  })
})
