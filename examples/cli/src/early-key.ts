/**
 * The key of the connected repository, begun before the program has loaded: to derive it takes longer than all of that, and
 * goes on beside it. What password and salt will be asked for is a guess from files of this machine; another one is derived as
 * always. So this module loads next to nothing.
 * @module
 */
import { scrypt } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { passwordFilePath } from "@dm/repo/client";
import { configPathOf } from "./config-path.ts";
import { openingGroups } from "./opening-groups.ts";

/** Besides those that all do: of these, but for a few commands. */
const otherGroups: ReadonlySet<string> = new Set([
  "content",
  "contents",
  "manifest",
  "policy",
  "policies",
  "maintenance",
  "status",
]);

interface Guess {
  readonly password: string;
  readonly algorithm: string;
  readonly salt: Buffer;
}

/** The key that was begun, if it is the one of this password and salt. */
export type EarlyKey = (
  password: string,
  options: { readonly algorithm: string; readonly salt: Uint8Array },
) => Promise<Uint8Array | undefined> | undefined;

/**
 * Begins when the command line and the files let it.
 * @returns undefined when it has not begun: nothing is known of the password, or of the repository
 */
export function beginKey(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): EarlyKey | undefined {
  const opens = argv.some((word) => openingGroups.has(word) || otherGroups.has(word));
  // A password on the command line has rules of its own. A word that is only a value costs a key in vain, or its early start.
  const isOther = argv.some((word) => /^(help$|-h|-p|--help\b|--password\b)/.test(word));
  if (!opens || isOther) return undefined;
  let guess: Guess;
  try {
    guess = guessOf(configPathOf(flag(argv, "--config-file"), env), env);
  } catch {
    return undefined;
  }
  if (guess.algorithm !== "scrypt-65536-8-1") return undefined;
  const cost = { N: 65536, r: 8, p: 1, maxmem: 128 << 20 };
  const key = new Promise<Uint8Array | undefined>((resolve) => {
    // What fails here fails again where the key is needed, and is reported there.
    scrypt(guess.password, guess.salt, 32, cost, (error, bytes) =>
      resolve(error ? undefined : bytes),
    );
  });
  return (password, { algorithm, salt }) =>
    password === guess.password && algorithm === guess.algorithm && guess.salt.equals(salt)
      ? key
      : undefined;
}

/** @throws whatever; then there is no guess */
function guessOf(configPath: string, env: Readonly<Record<string, string | undefined>>): Guess {
  const given = env["KOPIA_PASSWORD"]?.trim();
  const password =
    given || Buffer.from(readFileSync(passwordFilePath(configPath), "utf8"), "base64").toString();
  const { storage } = JSON.parse(readFileSync(configPath, "utf8"));
  const format = JSON.parse(readFileSync(join(storage.config.path, "kopia.repository.f"), "utf8"));
  return {
    password,
    algorithm: format.keyAlgo,
    salt: Buffer.from(format.uniqueID, "base64"),
  };
}

function flag(argv: readonly string[], name: string): string | undefined {
  const at = argv.indexOf(name);
  if (at >= 0) return argv[at + 1];
  return argv.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
}
