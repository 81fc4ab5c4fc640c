import { defineConfig } from 'vitest/config'

/**
 * `unit`: pure cores, no privileges, run in parallel. `kernel`: real namespaces, devices and daemons, one file at a
 * time because the machine's two cores are the scarce resource.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/integration/**', 'test/fault/**', 'test/**/*.kernel.test.ts'],
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'kernel',
          include: ['test/integration/**/*.test.ts', 'test/fault/**/*.test.ts', 'test/**/*.kernel.test.ts'],
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
})
