/** Repositories in memory for tests: quick to open, with a clock that moves when told, random bytes by seed on request. */
import { type ManualClock, manualClock, type RandomBytes } from "@dm/core";
import { type BlobStore, type MemoryStore, memoryStore } from "@dm/storage";
import {
  type CreateRepositoryOptions,
  createRepository,
  type OpenRepositoryOptions,
  openRepository,
  type Repository,
} from "../src/index.ts";
import { quickKey } from "./format-helpers.ts";

export const password = "password";
export const startNs = 1_700_000_000_000_000_000n;

export interface TestRepository {
  readonly store: MemoryStore;
  readonly clock: ManualClock;
  readonly repository: Repository;
  /** Another client of the same repository, with the same clock. */
  open(options?: Partial<OpenRepositoryOptions> & { store?: BlobStore }): Promise<Repository>;
}

export async function newRepository(
  format: CreateRepositoryOptions["format"] = {},
  options: Partial<CreateRepositoryOptions> & { wrap?: (store: MemoryStore) => BlobStore } = {},
): Promise<TestRepository> {
  const clock = manualClock(startNs);
  const store = memoryStore({ clock });
  const common = { password, clock, deriveKey: quickKey, username: "u", hostname: "h" };
  const repository = await createRepository(store, { ...common, format, ...options });
  return {
    store,
    clock,
    repository,
    open: ({ store: other = store, ...more } = {}) => openRepository(other, { ...common, ...more }),
  };
}

/** The same bytes for the same seed. */
export function seededRandomBytes(seed: number): RandomBytes {
  let state = seed >>> 0 || 1;
  return (length) => {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i += 1) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      bytes[i] = state >>> 24;
    }
    return bytes;
  };
}

export const bytesOf = (length: number, seed = 1): Uint8Array => seededRandomBytes(seed)(length);

/** Blob ids by their kind: `p`, `q`, `n`, `xn`, `s`, …, and the whole id for those of the format. */
export function kinds(store: MemoryStore): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const id of store.blobs.keys()) {
    const kind = /^(xn|xs|xr|xe|xw|kopia\.[a-z]+|[a-z_])/.exec(id)?.[1] ?? id;
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}
