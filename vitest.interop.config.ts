import { defineConfig } from "vitest/config";

/** Programs that nobody here wrote, as peers. Run it as `npm run test:interop`, which sees to it that they are there. */
export default defineConfig({
  test: {
    include: ["test/interop/**/*.test.ts"],
    // nginx, GnuTLS, Java and a browser: `npm run test:interop -- --all`.
    exclude: process.env["INTEROP_ALL"] === "1" ? [] : ["test/interop/on-demand/**"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    globalSetup: "test/support/temp-folder.ts",
    pool: "forks",
    maxWorkers: 2,
  },
});
