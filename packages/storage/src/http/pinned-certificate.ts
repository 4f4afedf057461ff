/**
 * TLS that trusts one certificate and no authority: what it is, not who vouches for it, decides.
 * Proof: test/webdav-faults.test.ts.
 * @module
 */
import type { Agent } from "node:http";
import type { ConnectionOptions } from "node:tls";
import { nodeBuiltin, StorageError } from "@dm/core";

/** The fingerprint as this project compares it: 64 hexadecimal digits. Colons and upper case are taken as well. */
export function normalFingerprint(text: string): string {
  const plain = text.replaceAll(":", "").toLowerCase();
  if (/^[0-9a-f]{64}$/.test(plain)) return plain;
  throw new TypeError("a fingerprint of a certificate is its SHA-256 in 64 hexadecimal digits");
}

/** Connections of `agent` carry nothing before the server has shown the certificate with this SHA-256. */
export function pinCertificate(agent: Agent, fingerprint: string): void {
  const tls = nodeBuiltin<typeof import("node:tls")>("node:tls");
  if (!tls) throw new TypeError("certificates can be pinned in Node only");
  // Given to the agent only when it is verified: a request that waits in a socket leaves with the handshake.
  agent.createConnection = (options, callback) => {
    const connection = { ...(options as ConnectionOptions), rejectUnauthorized: false };
    const socket = tls.connect(connection);
    const fail = (error: Error): void => callback?.(error, socket);
    socket.once("error", fail);
    socket.once("secureConnect", () => {
      socket.off("error", fail);
      const shown = socket.getPeerX509Certificate()?.fingerprint256.replaceAll(":", "") ?? "";
      if (shown.toLowerCase() === fingerprint) {
        callback?.(null, socket);
        return;
      }
      socket.destroy();
      fail(untrustedFingerprint(connection.host ?? "", shown.toLowerCase()));
    });
    return undefined;
  };
}

function untrustedFingerprint(host: string, shown: string): StorageError {
  const text =
    `the certificate of ${host} is not the one that is trusted (it has the SHA-256 ${shown}): ` +
    "give that fingerprint when it is the right one";
  return new StorageError("DM_STORE_TLS_UNTRUSTED", text, { host, fingerprint: shown });
}
