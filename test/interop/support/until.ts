/** Waiting for what a program does by itself, and for no longer than is allowed. */

const ASK_EVERY_MS = 20

/**
 * Asks until the answer is yes.
 * @param withinMs how long to ask at most, in milliseconds
 * @returns how long it took, in milliseconds
 * @throws Error where the answer stays no
 */
export async function until(what: string, isSo: () => boolean | Promise<boolean>, withinMs: number): Promise<number> {
  const start = Date.now()
  while (!(await isSo())) {
    if (Date.now() - start > withinMs) throw new Error(`not within ${withinMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS))
  }
  return Date.now() - start
}
