/**
 * The C library through koffi, an optional peer dependency with a prebuilt library: for a Node without `node:ffi`.
 * Why so: docs/decisions/0008. Proof: test/posix.test.ts.
 * @module
 */
import type { LibC } from "./libc.ts";

const letters = { b: "uint8_t *", i: "int", l: "int64_t" } as const;

/**
 * @param table which functions, and their arguments
 * @throws where koffi is not installed or has no library for this platform
 */
export async function bindWithKoffi(table: Readonly<Record<string, string>>): Promise<LibC> {
  const { default: koffi } = await import("koffi");
  const library = koffi.load(null);
  const calls: Record<string, unknown> = {};
  for (const [name, signature] of Object.entries(table)) {
    const [result, ...parameters] = [...signature].map(
      (letter) => letters[letter as keyof typeof letters],
    );
    calls[name] = library.func(name, result as string, parameters as string[]);
  }
  return { ...(calls as unknown as LibC), backend: "koffi", errno: () => koffi.errno() };
}
