// The file known_hosts as OpenSSH writes it: plain and hashed names, ports, patterns, revoked keys, lines that say nothing.
import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { hostKeyFingerprint, knownHost } from "../src/sftp/known-hosts.ts";

const keyOf = (type: string, fill: number): Uint8Array =>
  Buffer.concat([Buffer.from([0, 0, 0, type.length]), Buffer.from(type), Buffer.alloc(32, fill)]);
const line = (names: string, type = "ssh-ed25519", fill = 1): string =>
  `${names} ${type} ${Buffer.from(keyOf(type, fill)).toString("base64")}`;
const key = keyOf("ssh-ed25519", 1);
const hashed = (name: string): string => {
  const salt = Buffer.alloc(20, 9);
  const hash = createHmac("sha1", salt).update(name).digest("base64");
  return `|1|${salt.toString("base64")}|${hash}`;
};

describe("known hosts", () => {
  it.each([
    ["example.com", "example.com", 22, "known"],
    ["EXAMPLE.com", "example.COM", 22, "known"],
    ["example.com", "example.com", 2222, "unknown"],
    ["[example.com]:2222", "example.com", 2222, "known"],
    ["other,192.0.2.7", "192.0.2.7", 22, "known"],
    ["*.example.com", "nas.example.com", 22, "known"],
    ["*.example.com,!bad.example.com", "bad.example.com", 22, "unknown"],
    ["nas?.example.com", "nas1.example.com", 22, "known"],
    ["nas.example.com", "nasXexample.com", 22, "unknown"],
    [hashed("example.com"), "example.com", 22, "known"],
    [hashed("[example.com]:2222"), "example.com", 2222, "known"],
    [hashed("example.com"), "example.org", 22, "unknown"],
    ["# example.com", "example.com", 22, "unknown"],
    ["@cert-authority example.com", "example.com", 22, "unknown"],
    ["@revoked example.com", "example.com", 22, "revoked"],
  ] as const)("%s holds for %s port %i: %s", (names, host, port, verdict) => {
    expect(knownHost(`\n${line(names)} comment\r\n`, host, port).check(key)).toBe(verdict);
  });

  it("tell a key that changed, and one of another type, from an unknown host", () => {
    const text = [line("a", "ssh-ed25519", 2), line("a", "ssh-rsa", 3), "a ssh-ed25519"].join("\n");
    const host = knownHost(text, "a", 22);
    expect(host.check(key)).toBe("changed");
    expect(host.check(keyOf("ssh-rsa", 3))).toBe("known");
    expect(host.algorithms).toEqual(["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"]);
    expect(knownHost(`${line("a")}\n@revoked ${line("*")}`, "a", 22).check(key)).toBe("revoked");
    expect(knownHost("", "a", 22).algorithms).toEqual([]);
  });

  it("show fingerprints as ssh-keygen does", () => {
    expect(hostKeyFingerprint(new Uint8Array([1, 2, 3]))).toBe(
      "SHA256:A5BYxvLAy0ksUzsKTRTvd8wPeKvMztUofYShogEc+4E",
    );
  });
});
