/**
 * rclone as a server of our own: on loopback, a port that it chooses, TLS with a certificate made for it, a user and a
 * password that only this process knows. What is secret goes through files that only the user may read, or the environment;
 * the arguments of a process can be seen by everybody.
 * Proof: test/webdav.rclone.test.ts.
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes, X509Certificate } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Logger, StorageError } from "@dm/core";
import { selfSignedCertificate } from "../http/self-signed-certificate.ts";
import { type RcloneConfig, startupTimeoutMs } from "./rclone-config.ts";

export interface RcloneProcess {
  /** Of the files, and of remote control; both end in a slash. */
  readonly webdavUrl: string;
  readonly controlUrl: string;
  readonly username: string;
  readonly password: string;
  readonly certificateFingerprint: string;
  /** Resolves when the process has ended, whoever ended it. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

/** How long rclone may take to end by itself. */
const stopMs = 2000;

/**
 * Starts rclone and waits until it serves.
 * @throws {StorageError} `DM_STORE_UNREACHABLE` when it does not start or ends, `DM_STORE_TIMEOUT` when it is silent
 */
export async function startRclone(
  config: RcloneConfig,
  logger: Logger | undefined,
): Promise<RcloneProcess> {
  // Readable by this user alone, whatever the umask.
  const folder = await mkdtemp(join(tmpdir(), "dm-rclone-"));
  try {
    return await startIn(folder, config, logger);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

async function startIn(
  folder: string,
  config: RcloneConfig,
  logger: Logger | undefined,
): Promise<RcloneProcess> {
  const username = `u${randomBytes(8).toString("hex")}`;
  const password = randomBytes(32).toString("hex");
  const { cert, key } = selfSignedCertificate({ commonName: "rclone", names: ["127.0.0.1"] });
  const file = async (name: string, text: string): Promise<string> => {
    const path = join(folder, name);
    await writeFile(path, text, { mode: 0o600, flag: "wx" });
    return path;
  };
  const certPath = await file("server.cert", cert);
  const keyPath = await file("server.key", key);
  // SHA-1 does not matter for a password of 256 random bits; every version of rclone knows it.
  const hash = createHash("sha1").update(password).digest("base64");
  const usersPath = await file("htpasswd", `${username}:{SHA}${hash}\n`);
  const args = ["serve", "webdav", config.remotePath, ...(config.rcloneArgs ?? [])];
  if (config.embeddedConfig) {
    args.push("--config", await file("rclone.conf", config.embeddedConfig));
  }
  // The last of several wins: what correctness and secrecy depend on is not for the user to change.
  args.push("--addr", "127.0.0.1:0", "--cert", certPath, "--key", keyPath, "--htpasswd", usersPath);
  args.push("--rc", "--rc-addr", "127.0.0.1:0", "--rc-cert", certPath, "--rc-key", keyPath);
  args.push("--rc-htpasswd", usersPath, "--vfs-write-back", "0s");
  args.push("--log-level", "NOTICE", "--log-file", "");

  const program = config.rcloneExe || "rclone";
  const secretEnvironment = (config.rcloneEnv ?? []).map((entry) => splitOnce(entry, "="));
  const child = spawn(program, args, {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...Object.fromEntries(secretEnvironment) },
    // Out of the terminal's group: an interrupt is for this process, which still has to write its last blobs.
    detached: process.platform !== "win32",
    windowsHide: true,
  });
  const secrets = [
    username,
    password,
    ...secretEnvironment.map(([, value]) => value),
    ...secretsOf(config.embeddedConfig ?? ""),
  ].filter((secret) => secret.length > 3);
  const masked = (line: string): string =>
    secrets.reduce((text, secret) => text.replaceAll(secret, "***"), line);

  const ended = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  const onExit = (): void => {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  };
  process.once("exit", onExit);
  const tidied = ended.then(async () => {
    process.off("exit", onExit);
    await rm(folder, { recursive: true, force: true });
  });
  const stop = async (): Promise<void> => {
    await stopped(child, ended);
    await tidied;
  };
  try {
    const hear = config.debug
      ? (line: string): void => logger?.debug("rclone spoke", { line: masked(line) })
      : undefined;
    const urls = await servingUrls(child, program, startupTimeoutMs(config), masked, hear);
    const fingerprint = new X509Certificate(cert).fingerprint256;
    return { ...urls, username, password, certificateFingerprint: fingerprint, ended, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function stopped(child: ChildProcess, ended: Promise<void>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), stopMs);
  await ended;
  clearTimeout(timer);
}

/** From what rclone says on its standard error, which is read to the end so that it never has to wait. */
function servingUrls(
  child: ChildProcess,
  program: string,
  timeoutMs: number,
  masked: (line: string) => string,
  hear: ((line: string) => void) | undefined,
): Promise<{ webdavUrl: string; controlUrl: string }> {
  return new Promise((resolve, reject) => {
    let webdavUrl: string | undefined;
    let controlUrl: string | undefined;
    let last = "";
    const timer = setTimeout(() => {
      const text = `rclone does not serve after ${timeoutMs} ms: ${last}`;
      reject(new StorageError("DM_STORE_TIMEOUT", text, { timeoutMs }, { retryable: true }));
    }, timeoutMs);
    child.once("error", (cause) => {
      clearTimeout(timer);
      const text = `${program} cannot be started: install rclone, or give its path`;
      reject(new StorageError("DM_STORE_UNREACHABLE", text, { program }, { cause }));
    });
    if (!child.stderr) return;
    const lines = createInterface({ input: child.stderr });
    lines.on("line", (line) => {
      hear?.(line);
      if (webdavUrl !== undefined && controlUrl !== undefined) return;
      last = masked(line).slice(0, 500);
      webdavUrl ??= /webdav server started on \[?(https:\/\/[^\]\s"]+:\d+\/)/i.exec(line)?.[1];
      controlUrl ??= /serving remote control on \[?(https:\/\/[^\]\s"]+:\d+\/)/i.exec(line)?.[1];
      if (webdavUrl === undefined || controlUrl === undefined) return;
      clearTimeout(timer);
      resolve({ webdavUrl, controlUrl });
    });
    lines.on("close", () => {
      clearTimeout(timer);
      const text = `rclone ended before it served: ${last || "it said nothing"}`;
      reject(new StorageError("DM_STORE_UNREACHABLE", text, { program }));
    });
  });
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** The values of an `rclone.conf`: any of them may be one. Short words such as `local` and `true` are not. */
function secretsOf(config: string): string[] {
  return config
    .split("\n")
    .map((line) => /^\s*[\w-]+\s*=\s*(.*?)\s*$/.exec(line)?.[1] ?? "")
    .filter((value) => value.length > 7);
}
