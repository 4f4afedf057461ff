/**
 * The log of one Restore, as it lies in the bucket: lines of `key=value`, as Velero's tools show them. Pure but for the clock.
 * Proof: test/restore/restore-objects.test.ts.
 * @module
 */
import type { Restore } from "@dm/crds";

export type LogFields = Readonly<Record<string, string>>;

/** It is kept in memory until all objects are there. */
const maxLength = 32 << 20;

export class RestoreLog {
  readonly #lines: string[] = [];
  #length = 0;
  readonly #now: () => Date;
  readonly #restore: string;

  constructor({ metadata }: Restore, now: () => Date) {
    this.#restore = `${metadata.namespace}/${metadata.name}`;
    this.#now = now;
  }

  info(message: string, fields: LogFields = {}): void {
    this.#add("info", message, fields);
  }

  warn(message: string, fields: LogFields = {}): void {
    this.#add("warning", message, fields);
  }

  error(message: string, fields: LogFields = {}): void {
    this.#add("error", message, fields);
  }

  get text(): string {
    return this.#lines.join("");
  }

  #add(level: string, msg: string, fields: LogFields): void {
    const time = `${this.#now().toISOString().slice(0, 19)}Z`;
    const more = Object.entries({ ...fields, restore: this.#restore }).sort();
    const pairs = [["time", time], ["level", level], ["msg", msg], ...more];
    const line = `${pairs.map(([key, value = ""]) => `${key}=${quoted(value)}`).join(" ")}\n`;
    this.#length += line.length;
    if (this.#length <= maxLength) this.#lines.push(line);
  }
}

/** As logrus does: quotes around whatever is no plain word. */
const quoted = (value: string): string =>
  /^[\w\-./@^+]*$/.test(value) ? value : JSON.stringify(value);
