// A draft is a store like any other (the contract of @dm/storage, over an empty and a full store below), leaves the store below
// it alone, and tells what has changed, so that the same changes make the store below equal to it.
import { systemClock } from "@dm/core";
import { type BlobStore, type MemoryStore, memoryStore } from "@dm/storage";
import { testBlobStore } from "@dm/storage/testing";
import { describe, expect, it } from "vitest";
import { type DraftStore, draftStore } from "../src/doctor/draft-store.ts";
import { repairRepository } from "../src/doctor/repair.ts";
import { fc } from "./property.ts";

testBlobStore("draft", async () => draftStore(memoryStore(), systemClock), { describe, it });

async function contentsOf(store: BlobStore): Promise<Map<string, string>> {
  const contents = new Map<string, string>();
  for await (const { id } of store.list("")) {
    expect(contents.has(id)).toBe(false);
    contents.set(id, String(await store.get(id)));
  }
  return new Map([...contents].sort());
}

type Change = readonly ["put", string, number] | readonly ["delete", string];

const id = fc.constantFrom("a", "b", "c", "d");
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.tuple(fc.constant("put" as const), id, fc.nat(3)),
  fc.tuple(fc.constant("delete" as const), id),
);

async function make(store: BlobStore, changes: readonly Change[]): Promise<void> {
  for (const [what, blobId, value] of changes) {
    if (what === "put") await store.put(blobId, Uint8Array.of(value));
    else await store.delete(blobId);
  }
}

const before = (): MemoryStore =>
  memoryStore({
    blobs: new Map([
      ["a", Uint8Array.of(9)],
      ["b", Uint8Array.of(8)],
    ]),
  });

it("reads like a store that was changed, and its changes make the store below one", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(change, { maxLength: 6 }), { maxLength: 3 }),
      async (steps) => {
        const base = before();
        const draft: DraftStore = draftStore(base, systemClock);
        const direct = before();
        const plan = [];
        for (const changes of steps) {
          await make(draft, changes);
          await make(direct, changes);
          plan.push({ do: "setAside", text: "", writes: draft.takeWrites() } as const);
          expect(await contentsOf(draft)).toEqual(await contentsOf(direct));
        }
        expect(await contentsOf(base)).toEqual(await contentsOf(before()));
        await repairRepository(base, plan);
        expect(await contentsOf(base)).toEqual(await contentsOf(direct));
      },
    ),
  );
});

it("leaves out what came and went", async () => {
  const draft = draftStore(before(), systemClock);
  await make(draft, [
    ["put", "c", 1],
    ["put", "d", 2],
    ["delete", "c"],
    ["delete", "nothing"],
  ]);
  expect(draft.takeWrites()).toEqual([
    { do: "put", blobId: "d", data: Uint8Array.of(2), replaces: undefined, retention: undefined },
  ]);
  expect(draft.takeWrites()).toEqual([]);
});
