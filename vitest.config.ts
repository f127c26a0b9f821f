import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    // The end-to-end tests mostly wait for processes of their own; one worker on a machine of two cores idles.
    maxWorkers: '100%',
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/e2e/**', 'test/faults/**', 'test/interop/**', 'test/proxy/**', 'test/store/postgres/**'],
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'postgres',
          include: ['test/store/postgres/**/*.test.ts'],
          globalSetup: ['test/support/postgres-shared.ts'],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          globalSetup: ['test/support/build.ts'],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
})
