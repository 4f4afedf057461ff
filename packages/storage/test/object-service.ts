/**
 * A fake service for each test of a file, or a server for all of them; the stores on it, and what tests do with them.
 * Proof: test/azure-store.test.ts, test/gcs-store.test.ts, test/azure.azurite.test.ts, test/gcs.fake-gcs-server.test.ts.
 * @module
 */
import { afterEach, beforeEach, expect } from "vitest";
import type { ObjectBlobStore, ObjectStoreOptions } from "../src/http/object-store.ts";
import { type BlobStore, validateProvider } from "../src/index.ts";
import type { Fake } from "./fake-service.ts";

export interface OnFake<Options = Partial<ObjectStoreOptions>> {
  /** Of the test that runs. */
  readonly fake: Fake;
  /** Closed after the test. */
  open(options?: Options): BlobStore;
}

export function onFake<Options>(
  start: () => Promise<Fake>,
  make: (fake: Fake, options?: Options) => BlobStore,
): OnFake<Options> {
  let fake: Fake;
  beforeEach(async () => {
    fake = await start();
  });
  // Hooks run from the last one to the first: the stores are closed before their service.
  afterEach(() => fake.close());
  const closing = closedAfterTests();
  return {
    get fake() {
      return fake;
    },
    open: (options) => closing(make(fake, options)),
  };
}

function closedAfterTests(): (store: BlobStore) => BlobStore {
  const stores: BlobStore[] = [];
  afterEach(async () => {
    for (const store of stores.splice(0)) await store.close();
  });
  return (store) => {
    stores.push(store);
    return store;
  };
}

export interface OnServer<Options> {
  /** In a place of its own, if `options` name none. */
  open(options?: Options): BlobStore;
  /** Another client of the same place. */
  reopen(store: BlobStore): Promise<BlobStore>;
}

export function onServer<Options extends { readonly prefix?: string | undefined }>(
  make: (options: { readonly prefix: string } & Options) => BlobStore,
): OnServer<Options> {
  const closing = closedAfterTests();
  const reopeners = new WeakMap<BlobStore, () => BlobStore>();
  let opened = 0;
  function open(options: Options = {} as Options): BlobStore {
    const whole = { ...options, prefix: options.prefix ?? `run${opened++}/` };
    const store = closing(make(whole));
    reopeners.set(store, () => open(whole));
    return store;
  }
  return { open, reopen: async (store) => reopeners.get(store)!() };
}

/** A store passes validation, and leaves nothing behind. */
export async function expectValid(connect: () => BlobStore): Promise<void> {
  const store = connect();
  const report = await validateProvider(store, {
    connect: async () => connect(),
    concurrencyTestMs: 1_000,
    maxBlobBytes: 1_000_000,
  });
  expect(report.findings).toEqual([]);
  expect(report.passed.length).toBe(12);
  expect(await idsOf(store)).toEqual([]);
}

export const bytes = (length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => index * 7);

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

export const failure = async (
  promise: Promise<unknown>,
): Promise<Error & { readonly code: string }> =>
  (await promise.then(
    () => new Error("it succeeded"),
    (error: unknown) => error,
  )) as Error & { readonly code: string };

export async function idsOf(store: BlobStore): Promise<string[]> {
  const found: string[] = [];
  for await (const { id } of store.list("")) found.push(id);
  return found;
}

export async function foldersOf(store: ObjectBlobStore): Promise<string[]> {
  const names: string[] = [];
  for await (const name of store.folders()) names.push(name);
  return names;
}
