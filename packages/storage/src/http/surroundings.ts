/**
 * Where credentials lie around a process: its environment, and files.
 * Proof: test/s3-credentials.test.ts, test/azure-credentials.test.ts.
 * @module
 */
import { AccessError, nodeBuiltin } from "@dm/core";

/** Reads a text file; rejects when it cannot. */
export type ReadText = (path: string) => Promise<string>;

/** A text file through Node. */
export async function readTextFile(path: string): Promise<string> {
  const files = nodeBuiltin<typeof import("node:fs/promises")>("node:fs/promises");
  if (!files) throw Object.assign(new Error("no file system here"), { code: "ENOSYS" });
  return files.readFile(path, "utf8");
}

export function credentialsMissing(reason: string): AccessError {
  return new AccessError("DM_STORE_CREDENTIALS_MISSING", `no credentials: ${reason}`, {});
}

/** The environment of this process; empty where there is none. */
export function processEnvironment(): Readonly<Record<string, string | undefined>> {
  return (
    (globalThis as { process?: { env?: Record<string, string | undefined> } }).process?.env ?? {}
  );
}
