/// <reference path="./ssh2.d.ts" />
/**
 * How an SFTP server is reached: by `ssh2` inside of this process, or by a program such as OpenSSH's `ssh`. The key of the
 * server is verified in both cases, here or there.
 * Proof: test/sftp.sshd.test.ts, test/sftp-faults.test.ts.
 * @module
 */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import type { Duplex } from "node:stream";
import { AccessError, isDmError, StorageError } from "@dm/core";
import { optionalPeer } from "../http/optional-peer.ts";
import { hostKeyFingerprint, type KnownHost, knownHost } from "./known-hosts.ts";
import type { SftpConfig } from "./sftp-config.ts";
import { type SftpChannel, silence } from "./sftp-session.ts";

/** A channel to the SFTP server, before any greeting. */
export function connect(config: SftpConfig, timeoutMs: number): Promise<SftpChannel> {
  return config.externalSSH ? externalChannel(config) : ownChannel(config, timeoutMs);
}

async function ownChannel(config: SftpConfig, timeoutMs: number): Promise<SftpChannel> {
  const { host, password, username } = config;
  const port = config.port || 22;
  const known = knownHost(await knownHostsText(config), host, port);
  const privateKey = password ? undefined : await privateKeyText(config);
  const { Client } = (await optionalPeer("ssh2", () => import("ssh2"))).default;
  const client = new Client();
  let refusal: AccessError | undefined;
  const channel = await new Promise<Duplex>((resolve, reject) => {
    // A server that is cut off between two events would otherwise leave nobody to listen.
    client.on("error", (error) => reject(refusal ?? connectError(error, host, port, timeoutMs)));
    client.on("close", () => reject(refusal ?? lostEarly(host)));
    client.on("keyboard-interactive", (_name, _instructions, _language, prompts, finish) => {
      finish(prompts.map(({ echo }) => (echo ? "" : (password ?? ""))));
    });
    client.on("ready", () => {
      client.subsys("sftp", (error, opened) => {
        if (error) reject(noSubsystem(host, error));
        else resolve(opened);
      });
    });
    try {
      client.connect({
        host,
        port,
        username,
        ...(privateKey === undefined ? { password: password ?? "" } : { privateKey }),
        tryKeyboard: privateKey === undefined,
        readyTimeout: timeoutMs,
        // A connection that carries nothing is asked as well: firewalls forget it, servers reboot.
        keepaliveInterval: 15_000,
        keepaliveCountMax: 4,
        hostVerifier: (key) => {
          refusal = hostKeyRefusal(known, key, host, port);
          return refusal === undefined;
        },
        ...(known.algorithms.length > 0 ? { algorithms: { serverHostKey: known.algorithms } } : {}),
      });
      // Small requests must not wait for the answers to others: 40 ms each, otherwise.
      client.setNoDelay(true);
    } catch (error) {
      reject(configurationError(error));
    }
  }).catch((error: unknown) => {
    client.destroy();
    throw error;
  });
  return {
    input: channel,
    output: channel,
    close: () => {
      // Not `end`: a server that is gone would never answer, and the socket would stay.
      client.destroy();
    },
  };
}

async function externalChannel(config: SftpConfig): Promise<SftpChannel> {
  const { host, sshArguments = "", sshCommand, username } = config;
  const program = sshCommand || "ssh";
  const args = sshArguments.split(" ").filter((argument) => argument !== "");
  const child = spawn(program, [...args, `${username}@${host}`, "-s", "sftp"], {
    stdio: ["pipe", "pipe", "pipe"],
    windowsHide: true,
  });
  let said = "";
  child.stderr.on("data", (piece: Uint8Array) => {
    said = (said + new TextDecoder().decode(piece)).slice(-1000);
  });
  await new Promise<void>((resolve, reject) => {
    child.on("spawn", resolve);
    child.on("error", (cause) => {
      const text = `${program} cannot be started: install it, or give the path of the SSH program`;
      reject(new StorageError("DM_STORE_UNREACHABLE", text, { program }, { cause }));
    });
  });
  return {
    input: child.stdout,
    output: child.stdin,
    close: () => {
      child.kill();
    },
    reason: () => said,
  };
}

async function knownHostsText(config: SftpConfig): Promise<string> {
  if (config.knownHostsData) return config.knownHostsData;
  const path = config.knownHostsFile || join(homedir(), ".ssh", "known_hosts");
  if (!isAbsolute(path)) throw new TypeError(`path of known hosts must be absolute, not ${path}`);
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    const text = `the known hosts in ${path} cannot be read: write the server's key there, as ssh-keyscan shows it`;
    throw new AccessError("DM_STORE_HOST_KEY_UNKNOWN", text, { path }, { cause });
  }
}

async function privateKeyText({ keyData, keyfile }: SftpConfig): Promise<string> {
  if (keyData) return keyData;
  if (!keyfile) {
    const text = "no credentials for the SFTP server: give a password, a key file or a key";
    throw new AccessError("DM_STORE_CREDENTIALS_MISSING", text, {});
  }
  if (!isAbsolute(keyfile)) throw new TypeError(`path of a key must be absolute, not ${keyfile}`);
  try {
    return await readFile(keyfile, "utf8");
  } catch (cause) {
    const text = `the private key in ${keyfile} cannot be read`;
    throw new AccessError("DM_STORE_CREDENTIALS_MISSING", text, { path: keyfile }, { cause });
  }
}

function hostKeyRefusal(
  known: KnownHost,
  key: Uint8Array,
  host: string,
  port: number,
): AccessError | undefined {
  const verdict = known.check(key);
  if (verdict === "known") return undefined;
  const fingerprint = hostKeyFingerprint(key);
  const details = { host, port, fingerprint };
  if (verdict === "unknown") {
    const text =
      `the key of ${host} is not among the known hosts (${fingerprint}): ` +
      `when it is the right one, add what "ssh-keyscan -p ${port} ${host}" shows`;
    return new AccessError("DM_STORE_HOST_KEY_UNKNOWN", text, details);
  }
  const how = verdict === "revoked" ? "is revoked" : "is another one than the known hosts have";
  const text = `the key of ${host} ${how} (${fingerprint}): somebody may stand in between; ask who runs the server`;
  return new AccessError("DM_STORE_HOST_KEY_CHANGED", text, details);
}

function connectError(
  error: Error & { level?: string; code?: unknown },
  host: string,
  port: number,
  timeoutMs: number,
): Error {
  const { level, message } = error;
  const code = String(error.code ?? "");
  if (level === "client-authentication") {
    const text = `${host} refuses the user with this password or key: ${message}`;
    return new AccessError("DM_STORE_CREDENTIALS_INVALID", text, { host }, { cause: error });
  }
  if (level === "client-timeout") return silence(timeoutMs);
  if (level === "client-dns" || code === "ENOTFOUND") {
    const text = `there is no host ${host}: check its name`;
    return new StorageError("DM_STORE_UNREACHABLE", text, { host, code }, { cause: error });
  }
  if (/no matching|unsupported|invalid identification/i.test(message)) {
    const text = `${host}:${port} and this program find no common way of SSH: ${message}`;
    return new StorageError("DM_STORE_UNREACHABLE", text, { host }, { cause: error });
  }
  const text = `${host}:${port} cannot be reached: ${code || message}`;
  const options = { cause: error, retryable: true };
  return new StorageError("DM_STORE_UNREACHABLE", text, { host, code }, options);
}

function lostEarly(host: string): StorageError {
  const text = `${host} closed the connection before SFTP began`;
  return new StorageError("DM_STORE_UNREACHABLE", text, { host }, { retryable: true });
}

function noSubsystem(host: string, cause: unknown): Error {
  if (isDmError(cause)) return cause;
  const text = `${host} takes the user, but offers no SFTP: switch on its sftp subsystem`;
  return new StorageError("DM_STORE_FAILED", text, { host }, { cause });
}

/** The key does not parse, or a setting is impossible. The library's messages quote neither. */
function configurationError(cause: unknown): AccessError {
  const text = `the private key cannot be used: ${(cause as Error).message}; it must have no passphrase`;
  return new AccessError("DM_STORE_CREDENTIALS_INVALID", text, {}, { cause });
}
