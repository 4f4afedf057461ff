/**
 * One line on a terminal that shows how far an upload is; nothing in a pipe.
 * @module
 */
import type { UploadProgress } from "@dm/snapshot";
import type { Session } from "./session.ts";
import { formatBytes, oneDecimal } from "./text.ts";

const barLength = 10;

export class UploadLine implements Disposable {
  readonly #session: Session;
  #length = 0;

  constructor(session: Session) {
    this.#session = session;
  }

  readonly show = (progress: UploadProgress): void => {
    if (!this.#session.showProgress) return;
    const text = lineOf(this.#session, progress);
    const columns = process.stderr.columns ?? 80;
    const line = text.length < columns ? text : `${text.slice(0, columns - 2)}…`;
    this.#session.io.err(`\r${line.padEnd(this.#length)}`);
    this.#length = line.length;
  };

  /** Makes room for a message; the next progress draws the line again. */
  clear(): void {
    if (this.#length > 0) this.#session.io.err(`\r${" ".repeat(this.#length)}\r`);
    this.#length = 0;
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}

function lineOf(session: Session, progress: UploadProgress): string {
  const size = (bytes: number): string => formatBytes(session.io, bytes);
  const { cachedBytes, cachedFiles, estimatedBytes, failures, hashedBytes, hashedFiles } = progress;
  const { filesUnderWay, ignoredFailures, remainingMs } = progress;
  const parts = [
    `${filesUnderWay} hashing`,
    `${hashedFiles} hashed (${size(hashedBytes)})`,
    `${cachedFiles} cached (${size(cachedBytes)})`,
  ];
  if (failures > 0) parts.push(`${failures} errors`);
  if (ignoredFailures > 0) parts.push(`${ignoredFailures} errors ignored`);
  if (estimatedBytes === undefined) return ` ${parts.join(", ")}, estimating…`;
  const share = Math.min(1, (hashedBytes + cachedBytes) / Math.max(1, estimatedBytes));
  const full = Math.round(share * barLength);
  const bar = "█".repeat(full) + "░".repeat(barLength - full);
  parts.push(`of ${size(estimatedBytes)}`);
  if (remainingMs !== undefined) parts.push(`${Math.ceil(remainingMs / 1000)}s left`);
  return ` ${bar} ${oneDecimal(share * 100)}% ${parts.join(", ")}`;
}
