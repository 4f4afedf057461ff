/** A store that stops working at one of its puts, as if the process had died there. */
import { StorageError } from "@dm/core";
import { type BlobStore, forward } from "@dm/storage";

export function dyingAtPut(
  store: BlobStore,
  moment: number,
): { readonly store: BlobStore; readonly puts: () => number } {
  let puts = 0;
  const dead = (): void => {
    if (puts >= moment) throw new StorageError("DM_STORAGE_FAILED", "the process is dead");
  };
  return {
    puts: () => puts,
    store: {
      ...forward(store),
      put: async (id, data, options) => {
        puts += 1;
        dead();
        await store.put(id, data, options);
      },
      delete: async (id, options) => {
        dead();
        await store.delete(id, options);
      },
    },
  };
}
