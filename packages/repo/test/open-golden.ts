/** Golden repositories opened in memory, with derived keys kept: one derivation costs 0.3 s. */
import { derivePasswordKey } from "@dm/encryption";
import { type GoldenRepository, loadGolden } from "@dm/fixtures";
import { type MemoryStore, memoryStore } from "@dm/storage";
import { type OpenRepositoryOptions, openRepository, type Repository } from "../src/index.ts";

const keys = new Map<string, Promise<Uint8Array>>();

/** `derivePasswordKey`, once for each password, algorithm and salt. */
export const memoisedDeriveKey: NonNullable<OpenRepositoryOptions["deriveKey"]> = (
  password,
  options,
) => {
  const name = JSON.stringify([
    password,
    options.algorithm,
    Buffer.from(options.salt).toString("hex"),
  ]);
  let key = keys.get(name);
  if (!key) {
    key = derivePasswordKey(password, options);
    keys.set(name, key);
  }
  return key;
};

export interface OpenedGolden {
  readonly golden: GoldenRepository;
  readonly store: MemoryStore;
  readonly repository: Repository;
}

export async function openGolden(
  name: string,
  options: Partial<OpenRepositoryOptions> = {},
): Promise<OpenedGolden> {
  const golden = loadGolden(name);
  const store = memoryStore({ blobs: golden.blobs });
  const repository = await openRepository(store, {
    password: golden.expected.password,
    deriveKey: memoisedDeriveKey,
    ...options,
  });
  return { golden, store, repository };
}
