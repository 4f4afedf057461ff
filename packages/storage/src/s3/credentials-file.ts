/**
 * Credentials files with profiles, as AWS tools read them and as the `cloud-credentials` secret of a cluster holds them.
 * Proof: test/s3-credentials.test.ts.
 * @module
 */

import type { Clock } from "@dm/core";
import type { HttpTransport } from "../http/http-transport.ts";
import {
  credentialsMissing,
  processEnvironment,
  type ReadText,
  readTextFile,
} from "../http/surroundings.ts";
import { type CredentialsProvider, refreshingCredentials, withToken } from "./credentials.ts";
import { webIdentityCredentials } from "./credentials-sts.ts";

export interface FileCredentialsOptions {
  /** `AWS_SHARED_CREDENTIALS_FILE`, else `~/.aws/credentials`, by default. */
  readonly path?: string | undefined;
  /** `AWS_PROFILE`, else `default`, by default. */
  readonly profile?: string | undefined;
  /** Node's file system by default. */
  readonly readText?: ReadText | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** For profiles that name a role and a token file. */
  readonly transport?: HttpTransport | undefined;
  readonly clock?: Clock | undefined;
}

const maxFileLength = 1 << 20;

/**
 * One profile of a credentials file. The file is read again when a server refuses what it said: a secret that is
 * mounted changes under a running program. A profile with `role_arn` and `web_identity_token_file` is that role.
 */
export function fileCredentials(options: FileCredentialsOptions = {}): CredentialsProvider {
  const { environment = processEnvironment(), readText = readTextFile } = options;
  const home = environment.HOME ?? environment.USERPROFILE ?? "";
  const path =
    options.path ?? (environment.AWS_SHARED_CREDENTIALS_FILE || `${home}/.aws/credentials`);
  const profile = options.profile ?? (environment.AWS_PROFILE || "default");
  let role: { readonly key: string; readonly provider: CredentialsProvider } | undefined;

  return refreshingCredentials(async (request) => {
    let text: string;
    try {
      text = await readText(path);
    } catch (error) {
      const code = (error as { code?: string }).code ?? "unreadable";
      throw credentialsMissing(`credentials file ${path} cannot be read (${code})`);
    }
    if (text.length > maxFileLength) throw credentialsMissing(`${path} is no credentials file`);
    const settings = parseProfiles(text).get(profile);
    if (!settings) throw credentialsMissing(`credentials file ${path} has no profile ${profile}`);
    const accessKeyId = settings.get("aws_access_key_id") ?? "";
    const secretAccessKey = settings.get("aws_secret_access_key") ?? "";
    if (accessKeyId !== "" && secretAccessKey !== "") {
      return withToken(accessKeyId, secretAccessKey, settings.get("aws_session_token"));
    }
    const roleArn = settings.get("role_arn");
    const tokenFile = settings.get("web_identity_token_file");
    if (!roleArn || !tokenFile) {
      throw credentialsMissing(`profile ${profile} of ${path} has neither keys nor a role`);
    }
    const sessionName = settings.get("role_session_name");
    const region = settings.get("region");
    const key = JSON.stringify([roleArn, tokenFile, sessionName, region]);
    if (role?.key !== key) {
      const { transport, clock } = options;
      const token = (): Promise<string> => readText(tokenFile);
      const given = { roleArn, token, sessionName, region, environment, transport, clock };
      role = { key, provider: webIdentityCredentials(given) };
    }
    return role.provider.credentials(request);
  }, options);
}

/**
 * Profiles of an INI file by name; `[profile x]` of the other file of AWS tools is `x`. Later sections of the same
 * name add to the earlier one.
 */
export function parseProfiles(text: string): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const profiles = new Map<string, Map<string, string>>();
  let section: Map<string, string> | undefined;
  let nested = false;
  for (const line of text.split(/\r?\n/)) {
    const trimmed = line.trim();
    if (trimmed === "" || /^[#;]/.test(trimmed)) continue;
    const header = /^\[\s*(?:profile\s+)?([^\]]*?)\s*\]/.exec(trimmed);
    if (header) {
      const name = header[1] ?? "";
      nested = false;
      section = profiles.get(name) ?? new Map();
      profiles.set(name, section);
      continue;
    }
    const [, name, value = ""] = /^([^=]+?)\s*=\s*(.*)$/.exec(trimmed) ?? [];
    // Indented lines after a setting without a value, such as `s3 =`, belong to it.
    if (name === undefined || (nested && /^\s/.test(line))) continue;
    nested = value === "";
    section?.set(name.toLowerCase(), value);
  }
  return profiles;
}
