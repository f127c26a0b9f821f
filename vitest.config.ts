import { availableParallelism } from 'node:os'
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config'

/** Those that take long run in `npm run test:faults`. */
const LONG = 'test/**/*.long.test.ts'

/** What `npm test` runs: nothing but Node and npm is needed, and every core is busy. */
const everyChange: readonly TestProjectInlineConfiguration[] = [
  {
    extends: true,
    test: {
      name: 'unit',
      include: ['test/**/*.test.ts'],
      // What a test replaces it puts back: what one file has loaded, the next one need not load again.
      isolate: false,
      exclude: ['test/{e2e,faults,interop,proxy}/**', 'test/store/postgres/**', LONG],
      testTimeout: 30_000,
    },
  },
  {
    extends: true,
    test: {
      name: 'postgres',
      include: ['test/store/postgres/**/*.test.ts'],
      exclude: [LONG],
      isolate: false,
      globalSetup: ['test/support/postgres-shared.ts'],
      testTimeout: 30_000,
      hookTimeout: 60_000,
    },
  },
  {
    extends: true,
    test: {
      name: 'e2e',
      include: ['test/e2e/**/*.test.ts'],
      exclude: [LONG],
      globalSetup: ['test/support/build.ts'],
      testTimeout: 30_000,
      hookTimeout: 60_000,
    },
  },
]

/** Run by name alone, each by an npm script of its own: they need more than Node, or more than a minute. */
const byName: readonly TestProjectInlineConfiguration[] = [
  {
    extends: true,
    test: {
      // The built program in real processes, which are killed, cut off, starved and restarted, and the long tests.
      name: 'faults',
      include: ['test/faults/**/*.test.ts', LONG],
      globalSetup: ['test/faults/required-programs.ts', 'test/support/postgres-shared.ts', 'test/support/build.ts'],
      // Each file loads the machine by itself.
      fileParallelism: false,
      testTimeout: 120_000,
      hookTimeout: 60_000,
    },
  },
  {
    extends: true,
    test: {
      // Real Synapse and Dendrite. The npm script adds the reporter that fails a run with an empty cell.
      name: 'interop',
      include: ['test/interop/**/*.test.ts'],
      globalSetup: ['test/support/build.ts', 'test/interop/support/install.ts'],
      // Each file runs homeservers of its own; two at a time on a small machine would time each other out.
      fileParallelism: false,
      testTimeout: 60_000,
      hookTimeout: 120_000,
    },
  },
  {
    extends: true,
    test: {
      // The generated fragments in nginx, Caddy and HAProxy, which must be installed.
      name: 'proxy',
      include: ['test/proxy/**/*.test.ts'],
      globalSetup: ['test/proxy/required-programs.ts'],
      testTimeout: 30_000,
      hookTimeout: 30_000,
    },
  },
]

export default defineConfig({
  test: {
    // Many tests wait, for processes of their own or for time to pass: as many workers as cores leave the cores idle.
    maxWorkers: Math.ceil(1.5 * availableParallelism()),
    // A second, as it is otherwise, is little on a machine that others use too.
    expect: { poll: { timeout: 10_000 } },
    // Where the command names no project.
    project: everyChange.map(({ test }) => String(test?.name)),
    projects: [...everyChange, ...byName],
  },
})
