/**
 * What of an error a status message repeats.
 * Proof: test/mover/cause.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";

/**
 * The text of an error; a system's error with its code. Errors of ours name no secret, and causes within them are left out.
 * @example causeOf(await readFile("/none").catch((error) => error)) // "ENOENT: no such file or directory, open '/none'"
 */
export function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = isDmError(error) ? undefined : (error as { code?: unknown }).code;
  return typeof code !== "string" || error.message.includes(code)
    ? error.message
    : `${code}: ${error.message}`;
}
