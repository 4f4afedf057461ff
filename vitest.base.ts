/** The vitest settings of every package: workspace packages resolve to their sources, results are kept for the count. */
import { defineConfig } from "vitest/config";

const conditions = ["@dm/source"];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["test/**/*.test.ts"],
    // Exhaustive runs share the machine, and take their time.
    testTimeout: process.env.DM_FULL ? 600_000 : 60_000,
    hookTimeout: 60_000,
    reporters: ["default", ["json", { outputFile: ".vitest/results.json" }]],
    passWithNoTests: false,
  },
});
