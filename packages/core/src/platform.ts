/**
 * The one door to what only Node has. Nothing is imported: a bundle for the browser holds no `node:` specifier, and in a
 * browser the answer is simply "not here".
 * @module
 */

/** A built-in module of Node by its `node:` name, or undefined where there is none (a browser, an old Node). */
export function nodeBuiltin<Module>(name: string): Module | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?: (name: string) => unknown } };
  return process?.getBuiltinModule?.(name) as Module | undefined;
}
