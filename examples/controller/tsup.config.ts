import { defineConfig } from "tsup";

/** A program, with all of its packages in it, from their sources. */
export default defineConfig({
  entry: { "dm-controller": "src/dm-controller.ts" },
  format: "esm",
  target: "node22.18",
  platform: "node",
  sourcemap: true,
  clean: true,
  removeNodeProtocol: false,
});
