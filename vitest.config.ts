import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

/** Those that take long run in `npm run test:faults`. */
const LONG = 'test/**/*.long.test.ts'

export default defineConfig({
  test: {
    // Many tests wait, for processes of their own or for time to pass: as many workers as cores leave the cores idle.
    maxWorkers: Math.ceil(1.5 * availableParallelism()),
    // A second, as it is otherwise, is little on a machine that others use too.
    expect: { poll: { timeout: 10_000 } },
    projects: [
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
    ],
  },
})
