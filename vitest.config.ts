import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/{unit,component,conformance,hostile,fuzz}/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    globalSetup: "test/support/temp-folder.ts",
    pool: "forks",
    maxWorkers: 2,
  },
});
