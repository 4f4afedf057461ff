/**
 * The story that OADP's documentation tells, as steps over any S3 server: a repository with its own algorithms below
 * `velero/kopia/<namespace>/`, connected to by a prefix without the slash, looked at, filled, verified, restored.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { expect } from "vitest";
import { Home } from "./run.ts";

export interface StoryServer {
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export const bucket = "oadp-backups";
export const prefix = "velero/kopia/shop/";
export const password = "static-passw0rd";

const algorithms = {
  KOPIA_HASHING_ALGORITHM: "BLAKE3-256",
  KOPIA_ENCRYPTION_ALGORITHM: "CHACHA20-POLY1305-HMAC-SHA256",
  KOPIA_SPLITTER_ALGORITHM: "DYNAMIC-8M-RABINKARP",
};

/** Flags of a connection; `folder` without the slash in which the prefix ends. */
export const s3Flags = (server: StoryServer, folder: string): string[] => [
  `--bucket=${bucket}`,
  `--prefix=${folder}`,
  `--access-key=${server.accessKeyId}`,
  `--secret-access-key=${server.secretAccessKey}`,
  `--endpoint=${server.endpoint}`,
  "--disable-tls",
];

/** A user of the repository's password, whose keys other programs can make, too. */
export function storyHome(): Home {
  const home = Home.withRealKeys();
  home.env["KOPIA_PASSWORD"] = password;
  return home;
}

/** As the data mover does it: the algorithms from the environment, the prefix with its slash. */
export async function createRepository(home: Home, server: StoryServer): Promise<void> {
  const before = home.env;
  home.env = { ...before, ...algorithms };
  const { err } = await home.ok(["repository", "create", "s3", ...s3Flags(server, prefix)]);
  home.env = before;
  expect(err).toContain("Connected to repository.");
  expect(err).not.toContain("NOTE: the prefix");
  await home.ok("repository disconnect");
}

/** As the documentation types it. */
export async function connectWithoutSlash(home: Home, server: StoryServer): Promise<void> {
  const folder = prefix.slice(0, -1);
  const { err } = await home.ok(["repository", "connect", "s3", ...s3Flags(server, folder)]);
  expect(err).toContain(
    `NOTE: there is no repository at the prefix "${folder}", but one at "${prefix}": connecting to that one.`,
  );
  const { storage } = home;
  expect(storage.config).toMatchObject({ prefix, secretAccessKey: server.secretAccessKey });
}

/** Every line of the status, as kopia has them. */
export async function assertStatus(home: Home, server: StoryServer): Promise<void> {
  const { err, out } = await home.ok("repository status");
  expect(out + err).not.toContain(server.secretAccessKey);
  const stars = "*".repeat(server.secretAccessKey.length);
  const lines = out.replace(/^(Unique ID: +)[0-9a-f]{64}$/m, "$1<id>").split("\n");
  const { hostname, username } = (
    JSON.parse((await home.ok("repository status --json")).out) as {
      clientOptions: { hostname: string; username: string };
    }
  ).clientOptions;
  expect(lines).toEqual([
    `Config file:         ${home.configPath}`,
    "",
    `Description:         Repository in S3: ${server.endpoint} ${bucket}`,
    `Hostname:            ${hostname}`,
    `Username:            ${username}`,
    "Read-only:           false",
    "Format blob cache:   15m0s",
    "",
    "Storage type:        s3",
    "Storage capacity:    unbounded",
    "Storage config:      {",
    `                       "bucket": "${bucket}",`,
    `                       "prefix": "${prefix}",`,
    `                       "endpoint": "${server.endpoint}",`,
    '                       "doNotUseTLS": true,',
    `                       "accessKeyID": "${server.accessKeyId}",`,
    `                       "secretAccessKey": "${stars}",`,
    '                       "sessionToken": "",',
    '                       "roleARN": "",',
    '                       "sessionName": "",',
    '                       "duration": "0s",',
    '                       "roleEndpoint": "",',
    '                       "roleRegion": ""',
    "                     }",
    "",
    "Unique ID:           <id>",
    "Hash:                BLAKE3-256",
    "Encryption:          CHACHA20-POLY1305-HMAC-SHA256",
    "Splitter:            DYNAMIC-8M-RABINKARP",
    "Format version:      3",
    "Content compression: true",
    "Password changes:    true",
    "Max pack length:     21 MB",
    "Index Format:        v2",
    "",
    "Epoch Manager:       enabled",
    "Current Epoch: 0",
    "",
    "Epoch refresh frequency: 20m0s",
    "Epoch advance on:        20 blobs or 10.5 MB, minimum 24h0m0s",
    "Epoch cleanup margin:    4h0m0s",
    "Epoch range-compaction every: 7 epochs",
    "",
  ]);
}

const files = { "a.txt": "the first file\n", "inner/b.bin": "0123456789".repeat(300_000) };

/** A snapshot made, verified by content, and brought back. */
export async function backUpAndRestore(home: Home): Promise<void> {
  mkdirSync(home.path("source/inner"), { recursive: true });
  for (const [name, text] of Object.entries(files))
    writeFileSync(home.path(`source/${name}`), text);
  await home.ok(["snapshot", "create", "--no-progress", home.path("source")]);
  await home.ok("content verify --full");
  await home.ok("snapshot verify --verify-files-percent 100");
  const [snapshot] = await home.json<{ id: string }[]>(["snapshot", "list", "--all", "--json"]);
  await home.ok(["restore", snapshot!.id, home.path("target")]);
  for (const [name, text] of Object.entries(files))
    expect(readFileSync(home.path(`target/${name}`), "utf8") === text, name).toBe(true);
}
