import { defineConfig } from "tsup";

const snapshot = "../../packages/snapshot/src/node";

/** Programs with all of their packages in them, from their sources: an image needs nothing but Node. */
export default defineConfig({
  entry: {
    "dm-controller": "src/dm-controller.ts",
    "demo-pod": "src/demo-pod.ts",
    start: "src/start.ts",
    "data-plane-worker": `${snapshot}/data-plane/worker.ts`,
    "restore-worker": `${snapshot}/restore/worker.ts`,
  },
  format: "esm",
  target: "node22.18",
  platform: "node",
  noExternal: [/.*/],
  external: ["koffi", "ssh2"],
  esbuildOptions(options) {
    options.conditions = ["@dm/source"];
    // Packages in CommonJS ask for Node's own modules by it.
    options.banner = {
      js: 'import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);',
    };
  },
  splitting: true,
  sourcemap: true,
  clean: true,
  removeNodeProtocol: false,
});
