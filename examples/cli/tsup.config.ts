import { defineConfig } from "tsup";

/** A program, unlike the packages: no types, one entry that loads what a command needs when it needs it. */
export default defineConfig({
  entry: { dm: "src/dm.ts", "benchmark-worker": "src/benchmark/worker.ts" },
  format: "esm",
  target: "node22.18",
  platform: "node",
  splitting: true,
  sourcemap: true,
  clean: true,
  removeNodeProtocol: false,
});
