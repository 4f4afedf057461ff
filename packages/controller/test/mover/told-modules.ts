/** Preloaded by a test: tells on standard output which packages a process resolves. */
import { registerHooks } from "node:module";

const packages = new Set<string>();
registerHooks({
  resolve(specifier, context, next) {
    const name = /^(@[^/]+\/[^/]+|[a-z][^/:]*)/.exec(specifier)?.[1];
    if (name !== undefined && !specifier.startsWith("node:")) packages.add(name);
    return next(specifier, context);
  },
});
process.on("exit", () => {
  console.log(JSON.stringify({ packages: [...packages].sort() }));
});
