/** The one way a published package is built: ESM, bundled types, one file per entry point, dependencies left outside. */
import { defineConfig } from "tsup";

export const library = (entry: Record<string, string>): ReturnType<typeof defineConfig> =>
  defineConfig({
    entry,
    format: "esm",
    target: "node22.18",
    platform: "neutral",
    external: [/^node:/],
    dts: { compilerOptions: { customConditions: [] } },
    sourcemap: true,
    clean: true,
    removeNodeProtocol: false,
  });
