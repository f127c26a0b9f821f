/** Who may read a file, where the system has permission bits. */
import { stat } from 'node:fs/promises'

/** Whether others than a file's owner may do anything with it. @returns false for what is no file, such as a pipe */
export async function othersMayRead(path: string): Promise<boolean> {
  return othersMay(path, 0o077)
}

/** Whether everybody may. */
export async function everybodyMayRead(path: string): Promise<boolean> {
  return othersMay(path, 0o007)
}

async function othersMay(path: string, bits: number): Promise<boolean> {
  if (process.platform === 'win32') return false
  const found = await stat(path).catch(() => undefined)
  return found?.isFile() === true && (found.mode & bits) !== 0
}
