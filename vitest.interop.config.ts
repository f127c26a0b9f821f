import { defineConfig } from 'vitest/config'
import { tableReporter } from './test/interop/support/table-reporter.ts'

export default defineConfig({
  test: {
    include: ['test/interop/**/*.test.ts'],
    globalSetup: ['test/support/build.ts', 'test/interop/support/install.ts'],
    reporters: ['default', tableReporter()],
    // Each file runs homeservers of its own; two at a time on a small machine would time each other out.
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})
