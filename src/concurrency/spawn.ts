/** Starts a module of ours in a thread of its own, from source as well as built. */
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { Worker, type WorkerOptions } from 'node:worker_threads'

/** Bounds of a thread's heap. */
export type ThreadLimits = NonNullable<WorkerOptions['resourceLimits']>

/**
 * @param module the module's URL as its sources have it, ending in .ts
 * @param limits of the built program; the loader for TypeScript would not fit into them
 */
export function spawnThread(module: URL, workerData: unknown, limits: ThreadLimits): Worker {
  if (!import.meta.url.endsWith('.ts')) {
    return new Worker(new URL(module.href.replace(/\.ts$/, '.js')), { workerData, resourceLimits: limits })
  }
  // A thread does not take the loader over from `--import tsx`; it registers its own.
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx'))
  const preload = `import { register } from ${JSON.stringify(new URL('./esm/api/index.mjs', tsx).href)}; register()`
  const execArgv = ['--import', `data:text/javascript,${encodeURIComponent(preload)}`]
  return new Worker(module, { workerData, execArgv })
}
