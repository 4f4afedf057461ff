/**
 * The C library through `node:ffi`, which Node has from 26 on: nothing to install, but experimental.
 * Why so: docs/decisions/0008. Proof: test/posix.test.ts.
 * @module
 */
import type { LibC } from "./libc.ts";

type Ffi = typeof import("node:ffi");

const letters = { b: "buffer", i: "int32", l: "int64" } as const;

/**
 * @param table which functions, and their arguments
 * @param errnoName the function that tells where the thread's `errno` lies
 * @throws where there is no such module, it is not permitted, or it is not as we know it
 */
export function bindWithNodeFfi(table: Readonly<Record<string, string>>, errnoName: string): LibC {
  const ffi = loadQuietly();
  if (ffi === undefined) throw new Error("this Node has no node:ffi");
  const definitions: Record<string, { arguments: string[]; return: string }> = {
    [errnoName]: { arguments: [], return: "pointer" },
  };
  for (const [name, signature] of Object.entries(table)) {
    const [result, ...parameters] = [...signature].map(
      (letter) => letters[letter as keyof typeof letters],
    );
    definitions[name] = { arguments: parameters, return: result as string };
  }
  // The C library is in the process already: `null` is the process itself.
  const { functions } = ffi.dlopen(null, definitions as never) as unknown as {
    functions: Record<string, (...values: unknown[]) => unknown>;
  };
  const { [errnoName]: location, ...calls } = functions;
  // Where errno lies belongs to the thread, and a module instance never leaves its thread.
  const errnoAddress = (location as () => bigint)();
  return {
    ...(calls as unknown as LibC),
    backend: "node:ffi",
    errno: () => ffi.getInt32(errnoAddress),
  };
}

/**
 * The module without its warning, which a user of a program can do nothing about. Loading is synchronous, so nobody else's
 * warning can fall into the gap.
 */
function loadQuietly(): Ffi | undefined {
  const emitWarning = process.emitWarning;
  process.emitWarning = (() => {}) as typeof process.emitWarning;
  try {
    return process.getBuiltinModule("node:ffi");
  } finally {
    process.emitWarning = emitWarning;
  }
}
