/**
 * The command line: global options, the groups of commands, and what an outcome means for the exit code.
 * Exit codes: 0 done, 1 failed, 2 called wrongly, 3 done with losses.
 * @module
 */
import { isDmError } from "@dm/core";
import { Command, CommanderError, Option } from "commander";
import packageJson from "../package.json" with { type: "json" };
import { type Io, LossError, UsageError } from "./io.ts";
import { Messages, parseLogLevel } from "./log.ts";
import { openingGroups } from "./opening-groups.ts";
import { type GlobalOptions, Session } from "./session.ts";

export const exitCodes = { done: 0, failed: 1, usage: 2, losses: 3 } as const;

/** `chosen` is the command of the group that the command line names, unless it asks for help. */
type Register = (parent: Command, session: Session, chosen?: string) => void | Promise<void>;

interface Group {
  readonly description: string;
  readonly aliases?: readonly string[];
  /** Loaded only when the command line names the group: libraries take most of the time until a command begins. */
  readonly load: () => Promise<Register>;
}

const groups: Readonly<Record<string, Group>> = {
  repository: {
    description: "Commands to manipulate a repository",
    aliases: ["repo"],
    load: async () => (await import("./commands/repository.ts")).repositoryCommands,
  },
  blob: {
    description: "Commands to inspect blobs",
    load: async () => (await import("./commands/blob.ts")).blobCommands,
  },
  content: {
    description: "Commands to inspect contents",
    aliases: ["contents"],
    load: async () => (await import("./commands/content.ts")).contentCommands,
  },
  index: {
    description: "Commands to inspect and recover the index",
    load: async () => (await import("./commands/index-blob.ts")).indexCommands,
  },
  manifest: {
    description: "Commands to inspect manifests",
    load: async () => (await import("./commands/manifest.ts")).manifestCommands,
  },
  snapshot: {
    description: "Commands to make, list, verify and change snapshots",
    aliases: ["snap"],
    load: async () => (await import("./commands/snapshot.ts")).snapshotCommands,
  },
  list: {
    description: "List a directory of a snapshot",
    aliases: ["ls"],
    load: async () => (await import("./commands/list.ts")).listCommand,
  },
  show: {
    description: "Show the bytes of an object",
    aliases: ["cat"],
    load: async () => (await import("./commands/show.ts")).showCommand,
  },
  diff: {
    description: "Show what differs between two directories of snapshots",
    aliases: ["compare"],
    load: async () => (await import("./commands/diff.ts")).diffCommand,
  },
  history: {
    description: "Show all versions of a file or directory over all snapshots of it",
    load: async () => (await import("./commands/history.ts")).historyCommand,
  },
  restore: {
    description: "Restore a directory or a file",
    load: async () => (await import("./commands/restore.ts")).restoreCommand,
  },
  policy: {
    description: "Commands to set and show policies of snapshots",
    aliases: ["policies"],
    load: async () => (await import("./commands/policy.ts")).policyCommands,
  },
  maintenance: {
    description: "Commands to run and set maintenance",
    load: async () => (await import("./commands/maintenance.ts")).maintenanceCommands,
  },
  benchmark: {
    description: "Commands to measure algorithms on this machine",
    load: async () => (await import("./commands/benchmark.ts")).benchmarkCommands,
  },
  why: {
    description: "Explain what an object of a cluster waits for, or why it failed, and what to do",
    load: async () => (await import("./commands/why.ts")).whyCommand,
  },
  "must-gather": {
    description:
      "Collect objects, events, logs and explanations of a cluster into a tar archive, without secrets",
    load: async () => (await import("./commands/must-gather.ts")).mustGatherCommand,
  },
};

const environmentHelp = `
Environment:
  KOPIA_PASSWORD                         password of the repository
  KOPIA_NEW_PASSWORD                     new password of repository change-password
  KOPIA_CONFIG_PATH                      configuration file, like --config-file
  KOPIA_CACHE_DIRECTORY                  cache directory, absolute
  KOPIA_PERSIST_CREDENTIALS_ON_CONNECT   false: like --no-persist-credentials
  KOPIA_BYTES_STRING_BASE_2              true: sizes in KiB, MiB, … instead of KB, MB, …

Exit codes: 0 done, 1 failed, 2 called wrongly, 3 done with losses.`;

/** Flags of kopia that scripts carry along and that mean nothing here. */
const ignoredFlags = [
  "--use-keyring",
  "--no-use-keyring",
  "--disable-file-logging",
  "--disable-content-log",
  "--disable-repository-log",
  "--no-auto",
  "--upgrade-no-block",
  "--disable-color",
  "--force-color",
  "--log-dir <directory>",
  "--log-file <file>",
  "--file-log-level <level>",
  "--dangerous-commands <switch>",
];

/**
 * Runs one command line (without the names of the program) to its end; never rejects.
 * @returns the exit code
 */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  const messages = new Messages(io);
  const help: string[] = [];
  const program = newProgram(messages, help, io);
  let session: Session | undefined;
  try {
    const chosen = chosenGroup(program, argv);
    session = new Session(io, messages, () => program.opts<GlobalOptions>());
    const isHelp = asksForHelp(program, argv);
    if (chosen !== undefined && openingGroups.has(chosen) && !isHelp) session.openEarly();
    const command = isHelp ? undefined : program.parseOptions([...argv]).operands[1];
    for (const [name, group] of Object.entries(groups)) {
      if (name === chosen) await (await group.load())(program, session, command);
      else program.command(name).description(group.description).aliases(aliasesOf(group));
    }
    await program.parseAsync(withHelpLast(program, argv), { from: "user" });
    await session.assertComplete();
    return exitCodes.done;
  } catch (error) {
    return outcomeOf(error, messages, io);
  } finally {
    if (help.length > 0) await io.out(help.join(""));
    await session?.[Symbol.asyncDispose]();
  }
}

const aliasesOf = (group: Group): string[] => [...(group.aliases ?? [])];

function newProgram(messages: Messages, help: string[], io: Io): Command {
  const program = new Command("dm")
    .description("Kopia repositories from the command line")
    .version(packageJson.version)
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => help.push(text),
      writeErr: (text) => messages.writeBlotted(withoutValue(text)),
    })
    .showHelpAfterError("(add --help for more)")
    .addHelpText("after", environmentHelp)
    .option("--config-file <file>", "configuration file of the connection")
    .addOption(new Option("-p, --password <password>").hideHelp())
    .addOption(
      new Option("--log-level <level>", "debug, info, warning or error")
        .argParser((text) => {
          messages.level = parseLogLevel(text);
          return messages.level;
        })
        .default("info"),
    )
    .addOption(new Option("--progress").hideHelp().default(true))
    .option("--no-progress", "no progress bar on a terminal")
    .addOption(new Option("--auto-maintenance").hideHelp().default(true))
    .option(
      "--no-auto-maintenance",
      "no maintenance after snapshots were made, deleted or expired, also when it is due",
    )
    .addOption(
      new Option("--persist-credentials")
        .hideHelp()
        .default(!/^(0|f|false)$/i.test(io.env["KOPIA_PERSIST_CREDENTIALS_ON_CONNECT"] ?? "")),
    )
    .option("--no-persist-credentials", "do not store the password of a connection")
    .option("--ignore-damaged-indexes", "read-only: go on without index blobs that are damaged")
    .addOption(new Option("--upgrade-owner-id <owner>").hideHelp());
  program.on("option:password", (value: string) => messages.keepSecret(value));
  for (const flag of ignoredFlags) program.addOption(new Option(flag).hideHelp());
  return program;
}

/** The group that the command line names, also behind `help`; undefined when there is none. */
function chosenGroup(program: Command, argv: readonly string[]): string | undefined {
  const { operands } = program.parseOptions([...argv]);
  const word = operands[0] === "help" ? operands[1] : operands[0];
  if (word === undefined) return undefined;
  return Object.keys(groups).find((name) => name === word || groups[name]?.aliases?.includes(word));
}

function asksForHelp(program: Command, argv: readonly string[]): boolean {
  const { operands } = program.parseOptions([...argv]);
  return operands[0] === "help" || argv.includes("--help") || argv.includes("-h");
}

/** `help content verify` as `content verify --help`: the parser's own `help` looks one level deep. */
function withHelpLast(program: Command, argv: readonly string[]): string[] {
  const { operands } = program.parseOptions([...argv]);
  if (operands[0] !== "help" || operands.length < 3) return [...argv];
  return [...argv.toSpliced(argv.indexOf("help"), 1), "--help"];
}

/** A mistyped option may carry a password: `unknown option '--pasword=…'`. */
function withoutValue(text: string): string {
  return text
    .replace(/(unknown option '-[^=']*)=[^']*'/, "$1=…'")
    .replace(/(too many arguments[^:]*): .*/, "$1.");
}

function outcomeOf(error: unknown, messages: Messages, io: Io): number {
  if (io.signal.aborted) {
    messages.say("interrupted", "error");
    return exitCodes.failed;
  }
  if (error instanceof CommanderError) {
    // Asked-for help and the version come as errors, too.
    return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
  }
  if (error instanceof UsageError) {
    messages.say(`error: ${error.message}`, "error");
    return exitCodes.usage;
  }
  if (error instanceof LossError) {
    messages.say(`warning: ${error.message}`, "error");
    return exitCodes.losses;
  }
  messages.say(`error: ${describe(error)}`, "error");
  if (messages.level === "debug" && error instanceof Error) {
    messages.say(error.stack ?? "", "debug");
  }
  return exitCodes.failed;
}

/** What can be done about it, where the message of the library does not know about commands. */
const hints: Readonly<Record<string, string>> = {
  DM_CONFIG_NOT_FOUND:
    "connect first: dm repository connect filesystem --path <path>; or make one: dm repository create filesystem --path <path>; " +
    "other storages are shown by --help",
  DM_REPOSITORY_EXISTS: "to use it: dm repository connect, with the same flags",
  DM_SNAPSHOT_NOT_FOUND: "ids are listed by: dm snapshot list --all --manifest-id",
  DM_OBJECT_ID_INVALID: "ids are listed by: dm snapshot list --all --manifest-id",
  DM_POLICY_NOT_FOUND: "policies are listed by: dm policy list",
  DM_REPOSITORY_NOT_FOUND:
    "is this the right place? A new one is made by: dm repository create, with the same flags",
  DM_STORE_NOT_FOUND:
    "is this the right place? A directory is made by: dm repository create filesystem --path <path>; a bucket must be there",
};

const indexHint =
  "--ignore-damaged-indexes reads what the other index blobs name; dm index recover finds the rest in the packs";

function describe(error: unknown): string {
  if (!isDmError(error)) return error instanceof Error ? error.message : String(error);
  const isIndex = /^(n|x[nsr])/.test(String(error.details["blobId"] ?? ""));
  const isDamage = error.name === "IntegrityError" || error.name === "FormatError";
  const hint = isIndex && isDamage ? indexHint : hints[error.code];
  return `${error.message} [${error.code}]${hint ? `\n${hint}` : ""}`;
}
