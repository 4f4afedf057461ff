/**
 * The file in which a connection keeps its password where no keyring is used: base64, no newline, mode 0600.
 * Base64 hides nothing; the file's mode does.
 * Format: docs/format/client-files.md. Proof: test/client-config.test.ts.
 * @module
 */
import { readFile, rm } from "node:fs/promises";
import {
  FormatError,
  fromBase64,
  isDmError,
  toBase64,
  utf8DecodeStrict,
  utf8Encode,
} from "@dm/core";
import { writeFileAtomically } from "./atomic-file.ts";
import { passwordFilePath } from "./config-paths.ts";

/** Stores the password beside the configuration file. */
export async function writePasswordFile(configPath: string, password: string): Promise<void> {
  await writeFileAtomically(passwordFilePath(configPath), toBase64(utf8Encode(password)));
}

/**
 * The stored password; undefined when there is no file.
 * @throws {FormatError} `DM_PASSWORD_FILE_INVALID`
 */
export async function readPasswordFile(configPath: string): Promise<string | undefined> {
  const path = passwordFilePath(configPath);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return utf8DecodeStrict(fromBase64(text.trim()));
  } catch (error) {
    if (!isDmError(error)) throw error;
    throw new FormatError(
      "DM_PASSWORD_FILE_INVALID",
      `${path} does not hold a password in base64`,
      {
        path,
      },
    );
  }
}

/** Removes the stored password, if there is one. */
export async function removePasswordFile(configPath: string): Promise<void> {
  await rm(passwordFilePath(configPath), { force: true });
}
