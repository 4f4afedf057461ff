/**
 * The token of `repository status -t`: everything that `repository connect from-config --token` needs, and with `-s`
 * the password. It holds the store's credentials: treat it as a secret.
 * Format: docs/format/client-files.md. Proof: test/client-config.test.ts.
 * @module
 */
import {
  FormatError,
  fromBase64Url,
  isDmError,
  toBase64Url,
  UnsupportedError,
  utf8DecodeStrict,
  utf8Encode,
} from "@dm/core";
import * as z from "zod";
import { once } from "../json/checked-json.ts";
import { goJsonString } from "../json/go-json.ts";
import { parseJson } from "../json/raw-json.ts";
import { type StorageConnection, storageConnectionSchema } from "./client-config.ts";

export interface ConnectionToken {
  readonly storage: StorageConnection;
  readonly password?: string | undefined;
}

const tokenVersion = "1";

const storedToken = z.looseObject({
  version: z.string(),
  storage: storageConnectionSchema,
  password: z.string().optional(),
});

/** URL-safe base64 without padding. */
export function encodeToken({ password, storage }: ConnectionToken): string {
  const secret = password === undefined ? "" : `,"password":${goJsonString(password)}`;
  const json = `{"version":"${tokenVersion}","storage":${JSON.stringify(storage)}${secret}}`;
  return toBase64Url(utf8Encode(json));
}

/**
 * @throws {FormatError} `DM_TOKEN_INVALID`; its text quotes nothing of the token
 * @throws {UnsupportedError} `DM_TOKEN_UNSUPPORTED`
 */
export function decodeToken(token: string): ConnectionToken {
  const parsed = storedToken.safeParse(jsonOf(token), once);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw invalidToken(`${issue.path.join(".") || "root"}: ${issue.message}`);
  }
  const { password, storage, version } = parsed.data;
  if (version !== tokenVersion) {
    throw new UnsupportedError(
      "DM_TOKEN_UNSUPPORTED",
      `the token has version ${JSON.stringify(version)}, known here: ${tokenVersion}`,
      { version },
    );
  }
  return password === undefined ? { storage } : { storage, password };
}

function jsonOf(token: string): unknown {
  try {
    return parseJson(utf8DecodeStrict(fromBase64Url(token.trim())));
  } catch (error) {
    if (!isDmError(error)) throw error;
    throw invalidToken("it is not base64 of JSON");
  }
}

function invalidToken(reason: string): FormatError {
  return new FormatError("DM_TOKEN_INVALID", `not a token of a connection: ${reason}`);
}
