/**
 * OpenSSH's file `known_hosts`: which keys a server may show.
 * Format: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT. Proof: test/sftp-known-hosts.test.ts.
 * @module
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";

interface KnownKey {
  readonly type: string;
  readonly key: Uint8Array;
  readonly revoked: boolean;
}

export type HostKeyVerdict = "known" | "unknown" | "changed" | "revoked";

export interface KnownHost {
  /** Of the keys that are known, as SSH names signatures with them; the server shall show one of these. */
  readonly algorithms: readonly string[];
  /** `key` is the public key as it goes over the wire. */
  check(key: Uint8Array): HostKeyVerdict;
}

/**
 * What a file says of one server. Lines that are no entries, and certificate authorities, say nothing.
 * @example const verdict = knownHost(text, "backup.example.com", 22).check(key);
 */
export function knownHost(text: string, host: string, port: number): KnownHost {
  const keys = text.split("\n").flatMap((line) => readLine(line, nameOf(host, port)));
  const usable = keys.filter(({ revoked }) => !revoked);
  return {
    algorithms: [...new Set(usable.flatMap(({ type }) => algorithmsOf(type)))],
    check(key) {
      const same = keys.filter((known) => sameBytes(known.key, key));
      if (same.some(({ revoked }) => revoked)) return "revoked";
      if (same.length > 0) return "known";
      return usable.length > 0 ? "changed" : "unknown";
    },
  };
}

/** As `ssh-keygen -l` shows it. */
export function hostKeyFingerprint(key: Uint8Array): string {
  return `SHA256:${createHash("sha256").update(key).digest("base64").replace(/=+$/, "")}`;
}

/** How OpenSSH writes a server into the file. */
const nameOf = (host: string, port: number): string =>
  (port === 22 ? host : `[${host}]:${port}`).toLowerCase();

function readLine(line: string, name: string): KnownKey[] {
  const fields = line.trim().split(/\s+/);
  const marker = fields[0]?.startsWith("@") ? fields.shift() : undefined;
  const [patterns = "", type = "", base64 = ""] = fields;
  if (patterns.startsWith("#") || base64 === "") return [];
  if (marker !== undefined && marker !== "@revoked") return [];
  if (!matches(patterns, name)) return [];
  return [{ type, key: Buffer.from(base64, "base64"), revoked: marker === "@revoked" }];
}

function matches(patterns: string, name: string): boolean {
  if (patterns.startsWith("|1|")) return matchesHash(patterns, name);
  let found = false;
  for (const pattern of patterns.toLowerCase().split(",")) {
    const refuses = pattern.startsWith("!");
    if (!wildcard(refuses ? pattern.slice(1) : pattern).test(name)) continue;
    if (refuses) return false;
    found = true;
  }
  return found;
}

function wildcard(pattern: string): RegExp {
  const escaped = pattern.replace(/[\\^$.|+()[\]{}]/g, "\\$&");
  return new RegExp(`^${escaped.replace(/\*+/g, ".*").replace(/\?/g, ".")}$`);
}

function matchesHash(hashed: string, name: string): boolean {
  const [, , salt = "", hash = ""] = hashed.split("|");
  const wanted = createHmac("sha1", Buffer.from(salt, "base64")).update(name).digest();
  return sameBytes(wanted, Buffer.from(hash, "base64"));
}

const sameBytes = (one: Uint8Array, other: Uint8Array): boolean =>
  one.length === other.length && timingSafeEqual(one, other);

/** An RSA key may sign with newer hashes than its name says. */
const algorithmsOf = (type: string): string[] =>
  type === "ssh-rsa" ? ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"] : [type];
