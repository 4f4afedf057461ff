import { readFileSync } from "node:fs";
import { defineConfig, type Options } from "tsup";

const snapshot = "../../packages/snapshot/src/node";

/**
 * A native package lies where the package that asks for it is installed, which is not here once that has become a part of the
 * bundle.
 */
const nativePackages: NonNullable<Options["esbuildPlugins"]>[number] = {
  name: "native packages",
  setup(build) {
    build.onResolve({ filter: /^ssh2$/ }, ({ path }) => ({ path, external: true }));
    build.onLoad({ filter: /hashing\/src\/backend-native\.ts$/ }, ({ path }) => ({
      contents: readFileSync(path, "utf8").replace(
        "import.meta.url",
        'import.meta.resolve("@dm/hashing")',
      ),
      loader: "ts",
    }));
  },
};

/** The module that starts the program stands alone, so that nothing but what it needs is loaded before its first work. */
const mainStaysOutside: NonNullable<Options["esbuildPlugins"]>[number] = {
  name: "main stays outside",
  setup(build) {
    build.onResolve({ filter: /^\.\/main\.ts$/ }, () => ({ path: "./main.js", external: true }));
  },
};

const program: Options = {
  format: "esm",
  target: "node22.18",
  platform: "node",
  noExternal: [/.*/],
  external: ["koffi"],
  esbuildOptions(options) {
    options.conditions = ["@dm/source"];
    // Packages in CommonJS ask for Node's own modules by it.
    options.banner = {
      js: 'import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);',
    };
  },
  sourcemap: true,
  removeNodeProtocol: false,
};

/**
 * A program, unlike the packages: no types, and with all of its packages in it, from their sources, so that a command loads
 * few files and of each package only what it uses: ten times as many files take five times as long until a command begins.
 * Workers are entries of their own: a thread loads one as a file beside the module that starts it.
 */
export default defineConfig([
  {
    ...program,
    entry: {
      main: "src/main.ts",
      "benchmark-worker": "src/benchmark/worker.ts",
      "data-plane-worker": `${snapshot}/data-plane/worker.ts`,
      "restore-worker": `${snapshot}/restore/worker.ts`,
    },
    esbuildPlugins: [nativePackages],
    splitting: true,
    // Of the other build, which goes on at the same time.
    clean: ["!dm.js", "!dm.js.map"],
  },
  {
    ...program,
    entry: { dm: "src/dm.ts" },
    esbuildPlugins: [mainStaysOutside],
    splitting: false,
    clean: false,
  },
]);
