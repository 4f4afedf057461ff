/**
 * A store that asks before each call whether the repository may still be used: another client may have locked it for an
 * upgrade, or required a feature that is unknown here.
 * Format: docs/format/format-blob.md. Proof: test/format-guard.test.ts.
 * @module
 */
import { type BlobStore, type CallOptions, forward } from "@dm/storage";

/** `check` rejects when the store must not be touched; an upload that has begun is not interrupted. */
export function guarded(
  store: BlobStore,
  check: (options: CallOptions) => Promise<void>,
): BlobStore {
  const guard = async (options: CallOptions = {}): Promise<void> =>
    check({ signal: options.signal });
  return {
    ...forward(store),
    async get(id, options) {
      await guard(options);
      return store.get(id, options);
    },
    async put(id, data, options) {
      await guard(options);
      return store.put(id, data, options);
    },
    async delete(id, options) {
      await guard(options);
      return store.delete(id, options);
    },
    async *list(prefix, options) {
      await guard(options);
      yield* store.list(prefix, options);
    },
    async stat(id, options) {
      await guard(options);
      return store.stat(id, options);
    },
    async extendRetention(id, retention, options) {
      await guard(options);
      return store.extendRetention(id, retention, options);
    },
  };
}
