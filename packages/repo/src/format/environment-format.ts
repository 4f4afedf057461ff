/**
 * Algorithms of a new repository from the environment, by the names that the data mover of OADP reads. They matter only when a
 * repository is made.
 * Proof: test/environment-format.test.ts.
 * @module
 */
import { encryptionAlgorithms } from "@dm/encryption";
import { hashAlgorithms } from "@dm/hashing";
import { splitterAlgorithms } from "@dm/splitter";
import type { NewFormatSettings } from "./create-format.ts";

export interface EnvironmentFormat {
  readonly format: Pick<NewFormatSettings, "encryption" | "hash" | "splitter">;
  /** What names no algorithm and has no effect: the data mover uses its default then, and so does the format here. */
  readonly ignored: readonly { readonly variable: string; readonly value: string }[];
}

const variables = [
  ["KOPIA_HASHING_ALGORITHM", "hash", hashAlgorithms],
  ["KOPIA_ENCRYPTION_ALGORITHM", "encryption", encryptionAlgorithms],
  ["KOPIA_SPLITTER_ALGORITHM", "splitter", splitterAlgorithms],
] as const;

/**
 * @example
 * const { format } = formatFromEnvironment(process.env);
 * await createRepositoryFormat(store, { password, format });
 */
export function formatFromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): EnvironmentFormat {
  const format: Record<string, string> = {};
  const ignored: { variable: string; value: string }[] = [];
  for (const [variable, member, known] of variables) {
    const value = environment[variable];
    if (!value) continue;
    if (Object.hasOwn(known, value)) format[member] = value;
    else ignored.push({ variable, value });
  }
  return { format, ignored };
}
