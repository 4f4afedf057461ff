/**
 * What one check of a provider has at hand, and how it says what is wrong.
 * @module
 */
import { type Clock, equalBytes, isDmError } from "@dm/core";
import type { BlobMetadata, BlobStore, CallOptions } from "../blob-store.ts";

/** A sentence about what was seen; anything else that a check throws is an error of the store. */
export class CheckFailure extends Error {
  override readonly name = "CheckFailure";
}

export function fail(text: string): never {
  throw new CheckFailure(text);
}

export interface CheckContext {
  /** The same storage, through several connections. */
  readonly stores: readonly BlobStore[];
  readonly clock: Clock;
  /** An id below the prefix of this validation. */
  id(name: string): string;
  /** One connection by chance: what one has done, any other must see. */
  anyStore(): BlobStore;
  /** 0 ≤ result < 1. */
  chance(): number;
  readonly call: CallOptions;
}

export interface Check {
  readonly name: string;
  /** What is looked at, for people who wait: `Reading ranges`. */
  readonly title: string;
  /** What a repository would suffer. */
  readonly consequence: string;
  run(context: CheckContext): Promise<void>;
}

export async function listed(
  { anyStore, call }: CheckContext,
  prefix: string,
  store: BlobStore = anyStore(),
): Promise<BlobMetadata[]> {
  const found: BlobMetadata[] = [];
  for await (const blob of store.list(prefix, call)) found.push(blob);
  return found;
}

/** `call` must say that the blob is not there. */
export async function assertMissing(what: string, call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
  } catch (error) {
    if (isDmError(error, "DM_BLOB_NOT_FOUND")) return;
    fail(`${what} does not say that the blob is missing, but: ${messageOf(error)}`);
  }
  fail(`${what} succeeds`);
}

export async function assertHolds(
  { call }: CheckContext,
  store: BlobStore,
  id: string,
  wanted: Uint8Array,
): Promise<void> {
  const got = await store.get(id, call);
  if (!equalBytes(got, wanted)) fail(`reading ${id} gives ${difference(got, wanted)}`);
}

/** In words; no bytes of anybody. */
export function difference(got: Uint8Array, wanted: Uint8Array): string {
  if (got.length !== wanted.length) return `${got.length} bytes where ${wanted.length} were stored`;
  return `other bytes than were stored, from byte ${got.findIndex((byte, at) => byte !== wanted[at])} on`;
}

export const messageOf = (error: unknown): string => {
  const message = error instanceof Error ? error.message : String(error);
  return isDmError(error) ? `${message} [${error.code}]` : message;
};
