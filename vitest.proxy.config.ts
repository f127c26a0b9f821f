import { defineConfig } from 'vitest/config'

/** `npm run test:proxy`: the generated fragments in nginx, Caddy and HAProxy, which must be installed. */
export default defineConfig({
  test: {
    include: ['test/proxy/**/*.test.ts'],
    globalSetup: ['test/proxy/required-programs.ts'],
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
})
