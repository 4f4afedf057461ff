/** `dm repository validate-provider`: whether the storage of the connection keeps what a repository needs. */
import { UnsupportedError } from "@dm/core";
import { defaultValidation, validateProvider } from "@dm/storage";
import type { Command } from "commander";
import type { Session } from "../session.ts";
import { parseCount, parseDuration, parsePositive } from "../text.ts";

interface ValidateOptions {
  readonly numStorageConnections: number;
  readonly concurrencyTestDuration: number;
  readonly putBlobWorkers: number;
  readonly getBlobWorkers: number;
  readonly getMetadataWorkers: number;
  readonly pagedBlobs: number;
}

export function validateProviderCommand(repository: Command, session: Session): void {
  const { concurrencyTestMs, connections, getWorkers, pagedBlobs, putWorkers, statWorkers } =
    defaultValidation;
  repository
    .command("validate-provider")
    .description("Try out whether the storage of this connection keeps what a repository needs")
    .option("--num-storage-connections <count>", "connections", parsePositive, connections)
    .option(
      "--concurrency-test-duration <duration>",
      `time for which many clients work at once (${concurrencyTestMs / 1000}s)`,
      parseDuration,
    )
    .option("--put-blob-workers <count>", "clients that write", parseCount, putWorkers)
    .option("--get-blob-workers <count>", "clients that read", parseCount, getWorkers)
    .option("--get-metadata-workers <count>", "clients that look", parseCount, statWorkers)
    .option(
      "--paged-blobs <count>",
      "blobs of the check of long lists, 0 for none",
      parseCount,
      pagedBlobs,
    )
    .action((options: ValidateOptions) => validate(session, options));
}

async function validate(session: Session, options: ValidateOptions): Promise<void> {
  const config = await session.config();
  const store = await session.openStore(config);
  try {
    session.say(`Trying out ${store.displayName}:`);
    const { findings, passed, skipped } = await validateProvider(store, {
      connect: () => session.openStore(config),
      connections: options.numStorageConnections,
      concurrencyTestMs: options.concurrencyTestDuration,
      putWorkers: options.putBlobWorkers,
      getWorkers: options.getBlobWorkers,
      statWorkers: options.getMetadataWorkers,
      pagedBlobs: options.pagedBlobs,
      clock: session.clock,
      signal: session.signal,
      onCheck: (title) => session.say(`  ${title}...`),
    });
    if (findings.length === 0) {
      session.say(`All good: ${passed.length} checks passed.`);
      return;
    }
    for (const { check, consequence, text } of findings) {
      session.messages.say(`FAILED ${check}: ${text}.\n  What it means: ${consequence}.`, "error");
    }
    const untried = skipped.length > 0 ? `; not tried: ${skipped.join(", ")}` : "";
    throw new UnsupportedError(
      "DM_CLI_PROVIDER_UNSUITABLE",
      `${findings.length} checks failed, ${passed.length} passed${untried}`,
    );
  } finally {
    await store.close();
  }
}
