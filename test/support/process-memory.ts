/** What a process takes of the machine's memory, from outside. */
import { readFile } from 'node:fs/promises'

const EVERY_MS = 20

/** Resident memory of a process, in bytes. https://man7.org/linux/man-pages/man5/proc_pid_status.5.html */
export async function residentBytes(pid: number): Promise<number> {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}

/** Looks at a process while something goes on. @returns the most that it had, in bytes, beside what came out */
export async function mostResident<T>(pid: number, during: Promise<T>): Promise<{ most: number; result: T }> {
  let most = await residentBytes(pid)
  const timer = setInterval(async () => {
    most = Math.max(most, await residentBytes(pid).catch(() => 0))
  }, EVERY_MS)
  try {
    const result = await during
    return { most: Math.max(most, await residentBytes(pid)), result }
  } finally {
    clearInterval(timer)
  }
}
