/**
 * Who a client is by default: `username@hostname` owns snapshots, policies and the right to run maintenance.
 * Format: docs/format/client-files.md. Proof: test/client-config.test.ts.
 * @module
 */
import { hostname, userInfo } from "node:os";

/** Lower-case name of the host, up to the first dot. */
export function defaultHostname(hostName: string = hostname()): string {
  return hostName.split(".", 1)[0]!.toLowerCase();
}

/** Name of the user, without a Windows domain; `nobody` when the system knows no name for the user id. */
export function defaultUsername(userName: string = systemUserName()): string {
  return userName.slice(userName.lastIndexOf("\\") + 1);
}

function systemUserName(): string {
  try {
    return userInfo().username;
  } catch {
    return process.env.USER || "nobody";
  }
}
