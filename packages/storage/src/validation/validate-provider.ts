/**
 * Whether a storage keeps what a repository needs: the contract of `BlobStore`, tried out on a storage that is in use, under
 * ids that no repository has, and cleaned up afterwards.
 * Proof: test/validate-provider.test.ts.
 * @module
 */
import {
  type Clock,
  mapConcurrent,
  type RandomBytes,
  systemClock,
  systemRandomBytes,
  toHex,
} from "@dm/core";
import type { BlobStore, CallOptions } from "../blob-store.ts";
import { storeReadOnly } from "../store-errors.ts";
import { type Check, type CheckContext, CheckFailure, messageOf } from "./check.ts";
import { clocks, firstChecks, laterChecks, pages } from "./checks.ts";
import { concurrency } from "./concurrency.ts";

/** Those of Kopia, and `pagedBlobs`. */
export const defaultValidation = Object.freeze({
  connections: 5,
  maxClockDriftMs: 180_000,
  concurrencyTestMs: 30_000,
  putWorkers: 3,
  getWorkers: 3,
  statWorkers: 3,
  listWorkers: 3,
  maxBlobBytes: 10_000_000,
  pagedBlobs: 1100,
});

export interface ValidateProviderOptions
  extends CallOptions,
    Partial<Readonly<Record<keyof typeof defaultValidation, number>>> {
  /** Opens the same storage once more, as another client does; without it there is one connection. They are closed at the end. */
  readonly connect?: (() => Promise<BlobStore>) | undefined;
  readonly clock?: Clock | undefined;
  readonly randomBytes?: RandomBytes | undefined;
  /** Called before each check with what it looks at. */
  readonly onCheck?: ((title: string) => void) | undefined;
}

export interface ProviderFinding {
  /** `capacity`, `missing`, `write`, `conditional-put`, `ranges`, `overwrite`, `list`, `metadata`, … */
  readonly check: string;
  /** What was seen. */
  readonly text: string;
  /** What a repository would suffer. */
  readonly consequence: string;
  /** What the store threw, where that is the finding. */
  readonly error?: unknown;
}

export interface ProviderReport {
  /** Empty for a storage that keeps the contract. */
  readonly findings: readonly ProviderFinding[];
  readonly passed: readonly string[];
  /** Not tried, because nothing can be written. */
  readonly skipped: readonly string[];
}

/**
 * Runs every check and goes on after one that fails. Writes some thousand small blobs and, in the test of many clients, as
 * many large ones as the time allows; all begin with `z` and 32 random digits, and are deleted at the end, also after an
 * abort.
 * @throws {AccessError} `DM_STORE_READ_ONLY`
 * @example
 * const { findings } = await validateProvider(store, { connect: async () => s3Store(options) });
 * for (const { text, consequence } of findings) console.log(`${text}: ${consequence}`);
 */
export async function validateProvider(
  store: BlobStore,
  options: ValidateProviderOptions = {},
): Promise<ProviderReport> {
  if (store.readOnly) throw storeReadOnly("put");
  const {
    clock = systemClock,
    connect,
    onCheck,
    randomBytes = systemRandomBytes,
    signal,
  } = options;
  const settings = { ...defaultValidation, ...defined(options) };
  const stores = [store];
  const prefix = `z${toHex(randomBytes(16))}`;
  const chance = (): number => new DataView(randomBytes(4).buffer).getUint32(0) / 2 ** 32;
  const context: CheckContext = {
    stores,
    clock,
    chance,
    call: { signal },
    id: (name) => (name === "" ? prefix : `${prefix}-${name}`),
    anyStore: () => stores[Math.floor(chance() * stores.length)] ?? store,
  };
  const findings: ProviderFinding[] = [];
  const passed: string[] = [];
  const skipped: string[] = [];
  const run = async (check: Check): Promise<void> => {
    signal?.throwIfAborted();
    onCheck?.(check.title);
    try {
      await check.run(context);
      passed.push(check.name);
    } catch (error) {
      signal?.throwIfAborted();
      findings.push(findingOf(check, error));
    }
  };
  const later = [...laterChecks, clocks(settings.maxClockDriftMs)];
  if (settings.pagedBlobs > 0) later.push(pages(settings.pagedBlobs));
  if (settings.concurrencyTestMs > 0) {
    later.push(concurrency({ ...settings, durationMs: settings.concurrencyTestMs }));
  }
  try {
    while (connect && stores.length < settings.connections) stores.push(await connect());
    for (const check of firstChecks) await run(check);
    if (passed.includes("write")) for (const check of later) await run(check);
    else skipped.push(...later.map(({ name }) => name));
  } finally {
    onCheck?.(cleanup.title);
    await removeAll(store, prefix).catch((error: unknown) => {
      findings.push(findingOf(cleanup, error));
    });
    await Promise.all(stores.slice(1).map((other) => other.close()));
  }
  return { findings, passed, skipped };
}

function findingOf({ consequence, name }: Omit<Check, "run">, error: unknown): ProviderFinding {
  if (error instanceof CheckFailure) return { check: name, text: error.message, consequence };
  return { check: name, text: `it fails: ${messageOf(error)}`, consequence, error };
}

const cleanup = {
  name: "cleanup",
  title: "Cleaning up",
  consequence: "blobs of this validation stay; they are in nobody's way, and may be deleted",
};

/** Not stopped by an abort of the validation: what it wrote goes in any case. A list that lags is asked again. */
async function removeAll(store: BlobStore, prefix: string): Promise<void> {
  let left = 0;
  let failure: unknown;
  for (let pass = 0; pass < 3; pass++) {
    left = 0;
    const remove = async ({ id }: { readonly id: string }): Promise<void> => {
      left += 1;
      await store.delete(id).catch((error: unknown) => {
        failure = error;
      });
    };
    await mapConcurrent(store.list(prefix), remove, { concurrency: 16 });
    if (left === 0) return;
  }
  const reason = failure === undefined ? "" : `: ${messageOf(failure)}`;
  throw new CheckFailure(`${left} blobs below ${prefix} stay${reason}`);
}

function defined(options: ValidateProviderOptions): Partial<typeof defaultValidation> {
  const names = Object.keys(defaultValidation) as (keyof typeof defaultValidation)[];
  const given = names.filter((name) => options[name] !== undefined);
  return Object.fromEntries(given.map((name) => [name, options[name]]));
}
