import { defineConfig } from 'vitest/config'

/**
 * `npm run test:faults`: the built program in real processes, which are killed, cut off, starved and restarted, and the
 * tests that take too long for every change.
 */
export default defineConfig({
  test: {
    include: ['test/faults/**/*.test.ts', 'test/**/*.long.test.ts'],
    globalSetup: ['test/faults/required-programs.ts', 'test/support/postgres-shared.ts', 'test/support/build.ts'],
    // Each file loads the machine by itself.
    fileParallelism: false,
    expect: { poll: { timeout: 10_000 } },
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
})
