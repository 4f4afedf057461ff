/**
 * What the command line of the demo may say.
 * Proof: test/settings.test.ts.
 * @module
 */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { Command, Option } from "commander";

export interface DemoSettings {
  /** Directories to copy into the volume of files; never written to. */
  readonly sources: readonly string[];
  /** A file to copy into the block volume; made up when undefined. */
  readonly block?: string | undefined;
  /** `s3://bucket/prefix`, a directory, or undefined: an S3 server of this process. */
  readonly store?: string | undefined;
  /** Everything stays until the program is interrupted. */
  readonly keep: boolean;
  /** A real cluster instead of the embedded one. */
  readonly kubeconfig?: string | undefined;
  readonly image: string;
  readonly yes: boolean;
  readonly storageClass?: string | undefined;
  readonly snapshotClass?: string | undefined;
  readonly algorithms: Algorithms;
}

/** Of the repository; Kopia's defaults where undefined. */
export interface Algorithms {
  readonly hash?: string | undefined;
  readonly encryption?: string | undefined;
  readonly splitter?: string | undefined;
}

interface Flags {
  source: string[];
  block?: string;
  store?: string;
  keep?: boolean;
  kubeconfig?: string;
  image: string;
  yes?: boolean;
  storageClass?: string;
  snapshotClass?: string;
  blockHash?: string;
  encryption?: string;
  objectSplitter?: string;
}

const collect = (value: string, before: string[]): string[] => [...before, resolve(value)];

/** Undefined when the help was asked for, or the flags were wrong; that has been said then. */
export function parseSettings(
  args: readonly string[],
  write: (text: string) => void,
): DemoSettings | { readonly exitCode: number } {
  const command = new Command("npm start --")
    .description(
      "Moves volumes of an embedded cluster into a Kopia repository and back, and proves it.",
    )
    .option("--source <dir>", "directory to copy into a volume (repeatable)", collect, [])
    .option("--block <file>", "image to copy into a block volume; made up by default")
    .option(
      "--store <place>",
      "s3://bucket/prefix or a directory; an S3 server of its own by default",
    )
    .option("--keep", "leave everything there until interrupted")
    .option("--kubeconfig <file>", "a real cluster with a CSI driver, instead of the embedded one")
    .option("--yes", "do not ask before that cluster is used")
    .addOption(
      new Option("--image <name>", "image of the data mover on that cluster").default("dm"),
    )
    .option("--storage-class <name>", "of that cluster; its default by default")
    .option("--snapshot-class <name>", "VolumeSnapshotClass of that cluster")
    .option("--block-hash <name>", "hash of the repository")
    .option("--encryption <name>", "encryption of the repository")
    .option("--object-splitter <name>", "splitter of the repository")
    .exitOverride()
    .configureOutput({ writeOut: write, writeErr: write });
  try {
    command.parse([...args], { from: "user" });
  } catch (error) {
    return { exitCode: (error as { exitCode?: number }).exitCode === 0 ? 0 : 2 };
  }
  const flags = command.opts<Flags>();
  const fault = faultOf(flags);
  if (fault) {
    write(`${fault}\n`);
    return { exitCode: 2 };
  }
  return {
    sources: flags.source,
    block: flags.block && resolve(flags.block),
    store: flags.store,
    keep: flags.keep ?? false,
    kubeconfig: flags.kubeconfig,
    image: flags.image,
    yes: flags.yes ?? false,
    storageClass: flags.storageClass,
    snapshotClass: flags.snapshotClass,
    algorithms: {
      hash: flags.blockHash,
      encryption: flags.encryption,
      splitter: flags.objectSplitter,
    },
  };
}

function faultOf({ block, source, store }: Flags): string | undefined {
  const missing = source.find((path) => !statSync(path, { throwIfNoEntry: false })?.isDirectory());
  if (missing) return `--source: ${missing} is no directory`;
  const image = block ? statSync(block, { throwIfNoEntry: false }) : undefined;
  if (block && !image) return `--block: there is no ${block}`;
  if (image && !image.isFile()) return `--block: ${block} is no file`;
  if (image?.size === 0) return `--block: ${block} is empty`;
  if (store?.includes("://") && !store.startsWith("s3://"))
    return `--store: ${store} is neither s3://bucket/prefix nor a directory`;
  return undefined;
}
