/**
 * Kinds of options that several commands have.
 * @module
 */
import { Option } from "commander";
import type { Session } from "./session.ts";

/** Understood, and left out of the help. */
export const hidden = (flags: string): Option => new Option(flags).hideHelp();

/** One of several names. */
export const choice = (flags: string, description: string, names: readonly string[]): Option =>
  new Option(flags, description).choices([...names]);

/**
 * A secret on the command line, as kopia takes it: other users of the machine can see it there, so the help shows the
 * environment variable in its place.
 */
export const secret = (session: Session, flags: string): Option =>
  hidden(flags).argParser((text) => {
    session.messages.keepSecret(text);
    return text;
  });

/** May be given several times; each takes one value, so that arguments can follow. */
export const repeatable = (flags: string, description: string): Option =>
  new Option(flags, description).argParser((text, before: readonly string[] = []) => [
    ...before,
    text,
  ]);
