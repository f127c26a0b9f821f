import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/interop/**/*.test.ts'],
    globalSetup: ['test/support/build.ts', 'test/interop/support/install.ts'],
    // Each file runs homeservers of its own; two at a time on a small machine would time each other out.
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})
