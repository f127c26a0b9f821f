/** What is wrong with a state that has two events where there can be one. */

/** @param type of both, as it came: it may hold characters that no terminal shows */
export function stateClash(type: string): string {
  return `the state has two events of type ${type.replaceAll('\0', '\\u0000')} for one state key`
}
