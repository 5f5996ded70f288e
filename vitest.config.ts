import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // A process per file: what a test leaves behind (guards, listeners, memory) ends with it. More than two workers would
    // share two cores with the nodes that the end-to-end tests start, and their time-outs would measure that.
    pool: "forks",
    maxWorkers: 2,
    // Real nodes on a loaded machine take seconds to start: a time-out is there for what hangs. Long tests set their own.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    allowOnly: false,
    reporters: ["default", "./test/skipped.reporter.ts"],
  },
});
