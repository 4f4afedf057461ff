/** Golden repositories opened in memory, with derived keys kept: one derivation costs 0.3 s. */
import { derivePasswordKey } from "@dm/encryption";
import { type GoldenRepository, loadGolden } from "@dm/fixtures";
import { type OpenRepositoryOptions, openRepository, type Repository } from "@dm/repo";
import { memoryStore } from "@dm/storage";

const keys = new Map<string, Promise<Uint8Array>>();

/** `derivePasswordKey`, once for each password, algorithm and salt. */
export const memoisedDeriveKey: NonNullable<OpenRepositoryOptions["deriveKey"]> = (
  password,
  options,
) => {
  const name = `${password} ${options.algorithm} ${Buffer.from(options.salt).toString("hex")}`;
  let key = keys.get(name);
  if (!key) {
    key = derivePasswordKey(password, options);
    keys.set(name, key);
  }
  return key;
};

export async function openGolden(
  name: string,
): Promise<{ golden: GoldenRepository; repository: Repository }> {
  const golden = loadGolden(name);
  const repository = await openRepository(memoryStore({ blobs: golden.blobs }), {
    password: golden.expected.password,
    deriveKey: memoisedDeriveKey,
    readOnly: true,
  });
  return { golden, repository };
}
