/** `dm repository create`: a new repository, connected to. */
import {
  defaultEncryptionAlgorithm,
  defaultKeyDerivationAlgorithm,
  encryptionAlgorithms,
  keyDerivationAlgorithms,
} from "@dm/encryption";
import { defaultHashAlgorithm, hashAlgorithms } from "@dm/hashing";
import {
  createRepositoryFormat,
  defaultMaintenanceParameters,
  formatFromEnvironment,
  type OpenedFormat,
  writeMaintenanceParameters,
} from "@dm/repo";
import type { StorageConnection } from "@dm/repo/client";
import { defaultPolicy, globalPolicyTarget, setPolicy } from "@dm/snapshot";
import { defaultSplitterAlgorithm, splitterAlgorithms } from "@dm/splitter";
import type { BlobStore, Retention } from "@dm/storage";
import type { Command } from "commander";
import { connectionOf } from "../connection.ts";
import { UsageError } from "../io.ts";
import { choice } from "../options.ts";
import type { Session } from "../session.ts";
import type { StorageProvider } from "../storage/provider.ts";
import { parseDuration, parsePercent } from "../text.ts";
import {
  type ConnectOptions,
  type WrittenConfig,
  withConnection,
  withSlash,
  writeConnection,
} from "./repository-connect.ts";

export function createCommand(
  repository: Command,
  session: Session,
  providers: readonly StorageProvider[],
): void {
  const create = withConnection(
    repository.command("create").description("Make a new repository and connect to it"),
  );
  create
    .addOption(
      choice(
        "--block-hash <algorithm>",
        `content hash, ${defaultHashAlgorithm} by default`,
        Object.keys(hashAlgorithms),
      ),
    )
    .addOption(
      choice(
        "--encryption <algorithm>",
        `content encryption, ${defaultEncryptionAlgorithm} by default`,
        Object.keys(encryptionAlgorithms),
      ),
    )
    .addOption(
      choice(
        "--object-splitter <splitter>",
        `splitter of new objects, ${defaultSplitterAlgorithm} by default`,
        Object.keys(splitterAlgorithms),
      ),
    )
    .addOption(choice("--ecc <algorithm>", "error correction", ["REED-SOLOMON-CRC32"]))
    .option(
      "--ecc-overhead-percent <percent>",
      "space for error correction; 0 for none",
      parsePercent,
    )
    .addOption(
      choice("--format-version <version>", "version of the format, 3 by default", ["1", "2", "3"]),
    )
    .addOption(
      choice(
        "--format-block-key-derivation-algorithm <algorithm>",
        `derivation of the key from the password, ${defaultKeyDerivationAlgorithm} by default`,
        Object.keys(keyDerivationAlgorithms),
      ),
    )
    .addOption(choice("--retention-mode <mode>", "object lock", ["GOVERNANCE", "COMPLIANCE"]))
    .option("--retention-period <duration>", "time for which new blobs are locked", parseDuration)
    .option("-c, --create-only", "do not connect");
  create.addHelpText(
    "after",
    "\nKOPIA_HASHING_ALGORITHM, KOPIA_ENCRYPTION_ALGORITHM and KOPIA_SPLITTER_ALGORITHM stand for the flags where these are not given.",
  );
  for (const provider of providers) {
    const inProvider = create
      .command(provider.command ?? provider.type)
      .description(`Make a repository in ${provider.place}`)
      .action(async (_options: unknown, command: Command) => {
        const options = command.optsWithGlobals<CreateOptions>();
        const { formatVersion } = options;
        const context = { ...session.openContext, isCreation: true, formatVersion };
        await createIn(session, await connectionOf(provider, options, context), options);
      });
    provider.withFlags(inProvider, session);
  }
}

interface CreateOptions extends ConnectOptions {
  readonly blockHash?: string;
  readonly encryption?: string;
  readonly objectSplitter?: string;
  readonly ecc?: string;
  readonly eccOverheadPercent?: number;
  readonly formatVersion?: string;
  readonly formatBlockKeyDerivationAlgorithm?: string;
  readonly retentionMode?: Retention["mode"];
  readonly retentionPeriod?: number;
  readonly createOnly?: boolean;
}

async function createIn(
  session: Session,
  connection: StorageConnection,
  options: CreateOptions,
): Promise<void> {
  const retention = retentionOf(options);
  const given = session.globals.password ?? session.io.env["KOPIA_PASSWORD"];
  const prompt = "Enter password to create new repository: ";
  const password = await session.newPassword(given, prompt, "set KOPIA_PASSWORD");
  const { clock, signal } = session;
  const fromEnvironment = formatFromEnvironment(session.io.env);
  for (const { value, variable } of fromEnvironment.ignored) {
    session.messages.say(
      `${variable}: ${JSON.stringify(value)} is unknown, and ignored`,
      "warning",
    );
  }
  if (withSlash(connection)) {
    session.say(
      `NOTE: the prefix does not end in a slash; blobs will be named ${String(connection.config["prefix"])}kopia.repository and so on.`,
    );
  }
  const store = await session.openStorage(connection, { create: true });
  try {
    const opened = await createRepositoryFormat(store, {
      password,
      clock,
      signal,
      deriveKey: session.io.deriveKey,
      retention,
      keyAlgorithm: options.formatBlockKeyDerivationAlgorithm,
      format: {
        hash: options.blockHash ?? fromEnvironment.format.hash,
        encryption: options.encryption ?? fromEnvironment.format.encryption,
        splitter: options.objectSplitter ?? fromEnvironment.format.splitter,
        ecc: options.ecc,
        eccOverheadPercent: options.eccOverheadPercent,
        version: options.formatVersion ? (Number(options.formatVersion) as 1 | 2 | 3) : undefined,
      },
    });
    sayFormat(session, opened);
    if (options.createOnly) return;
    const config = await writeConnection(session, connection, opened, { ...options, password });
    await populate(session, store, opened, config);
    if (connection.type !== "filesystem") {
      session.say("Whether this storage keeps what a repository needs is shown by:");
      session.say("dm repository validate-provider");
    }
  } finally {
    await store.close();
  }
}

function retentionOf(options: CreateOptions): Retention | undefined {
  const { retentionMode: mode, retentionPeriod: periodMs } = options;
  if (mode === undefined && periodMs === undefined) return undefined;
  if (mode === undefined || periodMs === undefined) {
    throw new UsageError("--retention-mode and --retention-period go together");
  }
  return { mode, periodMs };
}

function sayFormat(session: Session, { format, keyAlgorithm }: OpenedFormat): void {
  session.say("Initialized repository with:");
  session.say(`  format version:      ${format.version}`);
  session.say(`  block hash:          ${format.hash}`);
  session.say(`  encryption:          ${format.encryption}`);
  session.say(`  key derivation:      ${keyAlgorithm}`);
  if (format.ecc) {
    session.say(`  ecc:                 ${format.ecc} with ${format.eccOverheadPercent}% overhead`);
  }
  session.say(`  splitter:            ${format.splitter}`);
}

/** What kopia writes into a new repository: the policy of all snapshots, and who runs maintenance. */
async function populate(
  session: Session,
  store: BlobStore,
  opened: OpenedFormat,
  config: WrittenConfig,
): Promise<void> {
  const { signal } = session;
  const repository = await session.repositoryOf(store, opened, { ...config, readonly: false });
  await using write = await repository.openWriteSession({ signal });
  await setPolicy(write, globalPolicyTarget, defaultPolicy, { signal });
  const owner = repository.clientName;
  await writeMaintenanceParameters(write, defaultMaintenanceParameters(owner), { signal });
  await write.commit({ signal });
  session.say(`Maintenance is due every hour (quick) and every day (full); ${owner} may run it:`);
  session.say("dm maintenance run [--full]");
}
