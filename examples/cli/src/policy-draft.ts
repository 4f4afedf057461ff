/**
 * A policy under the flags of `policy set`, applied in kopia's order and with its messages.
 * @module
 */
import { readFile } from "node:fs/promises";
import { compareUtf8 } from "@dm/repo";
import {
  type ActionCommand,
  type Policy,
  type SchedulingPolicy,
  sortedTimesOfDay,
  type TimeOfDay,
} from "@dm/snapshot";
import { UsageError } from "./io.ts";
import {
  actions,
  attributeOf,
  type Kind,
  type ListFlags,
  lateSteps,
  runMissed,
  shadowCopyModes,
  steps,
  type ValueFlag,
} from "./policy-flags.ts";
import { secondsText, timeText } from "./policy-text.ts";
import { formatBytes } from "./text.ts";

/** Values of the command line by the attribute names that the parser gives them. */
export type SetOptions = Readonly<Record<string, unknown>>;

const maxScriptLength = 32_000;
const maxInteger = 2 ** 31 - 1;

type Values = Record<string, unknown>;

/** A policy that flags are applied to, one by one, each with a message. */
export class PolicyDraft {
  readonly #values: Values;
  readonly #env: Readonly<Record<string, string | undefined>>;
  readonly #say: (text: string) => void;
  #changeCount = 0;

  constructor(
    policy: Policy,
    env: Readonly<Record<string, string | undefined>>,
    say: (text: string) => void,
  ) {
    this.#values = structuredClone(policy) as unknown as Values;
    this.#env = env;
    this.#say = say;
  }

  /** @throws {UsageError} when no flag changes anything */
  get policy(): Policy {
    if (this.#changeCount === 0) throw new UsageError("no changes specified");
    return this.#values as unknown as Policy;
  }

  async apply(options: SetOptions): Promise<void> {
    for (const step of steps) {
      if ("flag" in step) this.#value(step, options);
      else this.#list(step, options);
    }
    this.#schedule(options);
    for (const [name, field] of actions) await this.#action(name, field, options);
    for (const step of lateSteps) this.#value(step, options);
    if (options["inherit"] === undefined) return;
    this.#changeCount += 1;
    this.#values["noParent"] = options["inherit"] === "false";
  }

  #set(field: string, value: unknown, message: string): void {
    const names = field.split(".");
    const last = names.pop()!;
    let section = this.#values;
    for (const name of names) section = section[name] as Values;
    if (value === undefined) delete section[last];
    else section[last] = value;
    this.#changeCount += 1;
    this.#say(` - ${message}`);
  }

  #get(field: string): unknown {
    let value: unknown = this.#values;
    for (const name of field.split(".")) value = (value as Values)[name];
    return value;
  }

  #value({ called, field, flag: flags, kind }: ValueFlag, options: SetOptions): void {
    const text = options[attributeOf(flags)] as string | undefined;
    if (text === undefined) return;
    const isName = kind === "name";
    if (text === "inherit" || (text === "default" && !isName)) {
      const reset = isName
        ? `resetting ${called} to default value inherited from parent`
        : `resetting "${called}" to a default value inherited from parent.`;
      this.#set(field, undefined, reset);
      return;
    }
    if (isName) {
      this.#set(field, text, `setting ${called} to ${text}`);
      return;
    }
    const value = typedValue(kind, text, flags);
    const shown =
      kind === "mode"
        ? text
        : kind === "mebibytes"
          ? formatBytes({ env: this.#env }, value as number)
          : value;
    this.#set(field, value, `setting "${called}" to ${shown}.`);
  }

  #list({ called, field, what }: ListFlags, options: SetOptions): void {
    const texts = (verb: string): readonly string[] =>
      (options[attributeOf(`--${verb}-${what}`)] as readonly string[] | undefined) ?? [];
    if (options[attributeOf(`--clear-${what}`)] === true) {
      this.#set(field, undefined, `removing all from "${called}"`);
      return;
    }
    const all = new Set((this.#get(field) as readonly string[] | undefined) ?? []);
    const sorted = (): string[] => [...all].sort(compareUtf8);
    for (const text of texts("add")) {
      all.add(text);
      this.#set(field, sorted(), `adding ${JSON.stringify(text)} to "${called}"`);
    }
    for (const text of texts("remove")) {
      all.delete(text);
      this.#set(field, sorted(), `removing ${JSON.stringify(text)} from "${called}"`);
    }
  }

  #schedule(options: SetOptions): void {
    const interval = options["snapshotInterval"] as number | undefined;
    const times = options["snapshotTime"] as readonly string[] | undefined;
    const crontab = options["snapshotTimeCrontab"] as string | undefined;
    const isScheduled = interval !== undefined || times !== undefined || crontab !== undefined;
    const { cron, intervalSeconds, manual, timeOfDay } = this.#values[
      "scheduling"
    ] as SchedulingPolicy;
    if (options["manual"] === true) {
      if (isScheduled) throw new UsageError("cannot set manual field when scheduling snapshots");
      if (intervalSeconds)
        this.#set(
          "scheduling.intervalSeconds",
          undefined,
          "resetting snapshot interval to default",
        );
      if (timeOfDay?.length)
        this.#set("scheduling.timeOfDay", undefined, "resetting snapshot times of day to default");
      if (cron?.length)
        this.#set("scheduling.cron", undefined, "resetting cron snapshot times to default");
      this.#set("scheduling.manual", true, "setting manual snapshot field to true");
      return;
    }
    if (interval !== undefined) {
      const seconds = Math.floor(interval / 1000);
      const text = `setting snapshot interval to ${secondsText(seconds)}`;
      this.#set("scheduling.intervalSeconds", seconds, text);
    }
    if (times) this.#times(times);
    if (crontab !== undefined) this.#crontab(crontab);
    this.#value(runMissed, options);
    if (manual && (isScheduled || options["manual"] === false))
      this.#set("scheduling.manual", undefined, "resetting manual snapshot field to false");
  }

  #times(texts: readonly string[]): void {
    const all = texts.flatMap((text) => text.split(","));
    if (all.includes("inherit")) {
      this.#set("scheduling.timeOfDay", undefined, "resetting snapshot times of day to default");
      return;
    }
    const times = sortedTimesOfDay(all.map(parseTime));
    const shown = times.map(timeText).join(" ");
    this.#set("scheduling.timeOfDay", times, `setting snapshot times to [${shown}]`);
  }

  #crontab(text: string): void {
    if (text === "inherit" || text === "default") {
      this.#set("scheduling.cron", undefined, "resetting cron snapshot times to default");
      return;
    }
    const expressions = text
      .split(";")
      .map((expression) => expression.trim())
      .filter((expression) => expression !== "");
    for (const expression of expressions) checkCron(expression);
    this.#set(
      "scheduling.cron",
      expressions,
      `setting cron snapshot times to [${expressions.join(" ")}]`,
    );
  }

  async #action(name: string, field: string, options: SetOptions): Promise<void> {
    const text = options[attributeOf(`--${name}-action`)] as string | undefined;
    if (text === undefined || text === "-") return;
    if (text === "" || text === "none" || text === "inherit") {
      this.#set(`actions.${field}`, undefined, `removing ${name} action`);
      return;
    }
    const timeout = Math.floor((options["actionCommandTimeout"] as number) / 1000);
    const mode = options["actionCommandMode"] as string;
    const limits = `timeout ${secondsText(timeout)}`;
    if (options["persistActionScript"] === true) {
      const script = await readFile(text, "utf8");
      const { length } = Buffer.from(script);
      if (length > maxScriptLength)
        throw new UsageError(`${text} has ${length} bytes, at most ${maxScriptLength} are stored`);
      const action: ActionCommand = { script, timeout, mode };
      const from = `action script from file ${text} (${length} bytes) with ${limits}`;
      this.#set(`actions.${field}`, action, `setting ${name} (${mode}) ${from}`);
      return;
    }
    const [path = "", ...args] = wordsOf(text);
    const action: ActionCommand = { path, ...(args.length > 0 && { args }), timeout, mode };
    const quoted = args.map((word) => `"${word}"`).join(" ");
    const command = args.length > 0 ? `"${path}" with arguments ${quoted}` : `"${path}"`;
    this.#set(
      `actions.${field}`,
      action,
      `setting ${name} (${mode}) action command to ${command} and ${limits}`,
    );
  }
}

function typedValue(kind: Exclude<Kind, "name">, text: string, flags: string): number | boolean {
  switch (kind) {
    case "boolean":
      return text === "true";
    case "mode":
      return shadowCopyModes.indexOf(text);
    case "detail": {
      const detail = integerOf(text, flags);
      if (detail < 0 || detail > 10) throw new UsageError(`${flags}: must be 0 to 10 or inherit`);
      return detail;
    }
    case "mebibytes":
      return integerOf(text, flags) * 2 ** 20;
    case "integer":
      return integerOf(text, flags);
    case "size":
      return integerOf(text, flags, Number.MAX_SAFE_INTEGER);
  }
}

function integerOf(text: string, flags: string, most = maxInteger): number {
  const value = Number(text);
  if (!/^[+-]?\d+$/.test(text) || Math.abs(value) > most)
    throw new UsageError(`${flags}: not a number that can be stored: ${text}`);
  return value;
}

function parseTime(text: string): TimeOfDay {
  const [, hour, min] = /^(\d{1,2}):(\d{1,2})$/.exec(text) ?? [];
  if (hour === undefined || Number(hour) > 23 || Number(min) > 59)
    throw new UsageError(`not a time of the day: ${text} (must be HH:MM)`);
  return { hour: Number(hour), min: Number(min) };
}

/** Whether it looks like one: it is stored for kopia, which ignores those that it does not understand. */
function checkCron(expression: string): void {
  const text = expression.split("#")[0]!.trim();
  const fields = text.split(/\s+/);
  const isPlain = fields.every((field) => /^[\dA-Za-z*/,?#LW-]+$/.test(field));
  const isCron = isPlain && fields.length >= 5 && fields.length <= 7;
  if (text !== "" && !isCron && !/^@(annually|yearly|monthly|weekly|daily|hourly)$/.test(text))
    throw new UsageError(`not a crontab expression: ${expression}`);
}

/** Words between blanks; quotation marks hold blanks together, doubled ones stand for themselves. */
function wordsOf(text: string): string[] {
  const words: string[] = [];
  const word = /(?:"((?:[^"]|"")*)"|([^" ]*))(?: |$)/y;
  while (word.lastIndex < text.length) {
    const match = word.exec(text);
    if (!match) throw new UsageError(`not a command: ${text}`);
    words.push(match[1]?.replaceAll('""', '"') ?? match[2]!);
  }
  return words;
}
