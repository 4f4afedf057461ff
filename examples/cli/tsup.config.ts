import { readFileSync, writeFileSync } from "node:fs";
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
        'module.createRequire(__filename).resolve("@dm/hashing")',
      ),
      loader: "ts",
    }));
  },
};

/**
 * Work at loading that every command would do, for what a Node with its own cryptography and compression hardly ever calls: tables of
 * AES and of Deflate, 8 ms a thread. Such a module runs when one of its functions is called.
 */
const lazyModules: Readonly<Record<string, readonly string[]>> = {
  "@noble/ciphers/aes.js": ["gcm"],
  "@noble/ciphers/chacha.js": ["chacha20poly1305"],
  fflate: ["deflateSync"],
};
const lazy: NonNullable<Options["esbuildPlugins"]>[number] = {
  name: "lazy",
  setup(build) {
    build.onResolve({ filter: /^(@noble\/ciphers\/(aes|chacha)\.js|fflate)$/ }, (asked) =>
      asked.kind === "require-call"
        ? undefined
        : { path: asked.path, namespace: "lazy", pluginData: asked.resolveDir },
    );
    build.onLoad({ filter: /.*/, namespace: "lazy" }, ({ path, pluginData }) => ({
      contents: lazyModules[path]!.map(
        (name) => `export const ${name} = (...given) => require("${path}").${name}(...given);`,
      ).join("\n"),
      resolveDir: pluginData,
    }));
  },
};

/** What starts the program or a thread stands alone, so that nothing is compiled before it has said where that is kept. */
const startsAlone: NonNullable<Options["esbuildPlugins"]>[number] = {
  name: "starts alone",
  setup(build) {
    build.onResolve({ filter: /^\.\/(main|sealer|worker-jobs)\.ts$/ }, ({ kind, path }) =>
      kind === "dynamic-import" ? { path: path.replace(/ts$/, "js"), external: true } : undefined,
    );
  },
};

/** What asks a cluster is as large as all the rest, and no other command reads it. */
const clusterApart: NonNullable<Options["esbuildPlugins"]>[number] = {
  name: "cluster apart",
  setup(build) {
    build.onResolve({ filter: /\/cluster\/cluster\.ts$/ }, ({ kind }) =>
      kind === "dynamic-import" ? { path: "./cluster.js", external: true } : undefined,
    );
  },
};

const program: Options = {
  format: "cjs",
  target: "node22.18",
  platform: "node",
  noExternal: [/.*/],
  external: ["koffi"],
  outExtension: () => ({ js: ".js" }),
  splitting: false,
  sourcemap: true,
  removeNodeProtocol: false,
  esbuildOptions(options) {
    options.conditions = ["@dm/source"];
    options.define = { "import.meta.url": "moduleUrl" };
    options.banner = {
      js: '"use strict"; const moduleUrl = require("node:url").pathToFileURL(__filename).href;',
    };
    // `import()` of what stays outside would load Node's loader of ES modules.
    options.supported = { "dynamic-import": false };
    // All of it is read each time. Names stay, for stacks.
    options.minifySyntax = true;
    options.minifyWhitespace = true;
  },
};

/**
 * A program, unlike the packages: no types, and with all of its packages in it, from their sources, in one file of which a
 * command runs what it uses. As CommonJS, which needs neither Node's loader of ES modules nor its wrappers of Node's own modules:
 * 20 ms of a start, and of the start of a thread. A thread loads an entry of its own, as a file beside the module that starts it.
 */
export default defineConfig([
  {
    ...program,
    clean: true,
    entry: {
      dm: "src/dm.ts",
      "data-plane-worker": `${snapshot}/data-plane/worker.ts`,
      "restore-worker": `${snapshot}/restore/worker.ts`,
    },
    esbuildPlugins: [startsAlone],
    onSuccess: async () => writeFileSync("dist/package.json", '{ "type": "commonjs" }\n'),
  },
  {
    ...program,
    clean: false,
    entry: {
      main: "src/main.ts",
      cluster: "src/cluster/cluster.ts",
      "benchmark-worker": "src/benchmark/worker.ts",
      sealer: `${snapshot}/data-plane/sealer.ts`,
      "worker-jobs": `${snapshot}/restore/worker-jobs.ts`,
    },
    esbuildPlugins: [nativePackages, lazy, clusterApart],
  },
]);
