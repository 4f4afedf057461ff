/**
 * What the stores of Azure and Google Cloud promise alike, over the fakes of their services: the contract by both transports,
 * pages, locks, and what is refused.
 * Proof: test/azure-store.test.ts, test/gcs-store.test.ts.
 * @module
 */
import { describe, expect, it } from "vitest";
import type { ObjectBlobStore } from "../src/http/object-store.ts";
import type { BlobStore } from "../src/index.ts";
import { testBlobStore } from "../src/testing.ts";
import { failure, foldersOf, idsOf, type OnFake, utf8 } from "./object-service.ts";

export interface StoreSubject {
  readonly on: OnFake;
  readonly type: string;
  readonly displayName: string;
  /** A store that speaks through `fetch`. */
  readonly openFetching: () => BlobStore;
}

export function testObjectStore({ displayName, on, openFetching, type }: StoreSubject): void {
  testBlobStore(
    `${type}, a container with versions`,
    async () => {
      on.fake.retention = true;
      on.fake.versioned = true;
      return on.open();
    },
    { describe, it },
    { reopen: async () => on.open() },
  );
  testBlobStore(
    `${type}, through fetch`,
    async () => {
      on.fake.retention = true;
      return openFetching();
    },
    { describe, it },
    { manyBlobs: 50 },
  );

  it("names itself without a secret, and has what the service has", async () => {
    const store = on.open();
    expect([store.type, store.displayName]).toEqual([type, displayName]);
    expect(store.features).toEqual({ ifAbsent: true, retention: true, setTimestamp: true });
    expect(await store.capacity()).toBeUndefined();
  });

  it("puts in one request, and reads what kopia recorded", async () => {
    const store = on.open();
    const timestampNs = 1_577_934_245_000_000_001n;
    await store.put("p1", utf8("one"), { timestampNs, ifAbsent: true });
    expect(on.fake.seen.length).toBe(1);
    expect((await store.stat("p1")).timestampNs).toBe(timestampNs);
    for await (const blob of store.list(""))
      expect(blob).toEqual({ id: "p1", length: 3, timestampNs });
  });

  it("lists page by page, without other folders and names", async () => {
    for (const name of ["k/a", "k/b", "k/c", "k/folder/x", "k/.hidden", "other"]) {
      on.fake.store(name, utf8("x"), {});
    }
    on.fake.pageEntries = 2;
    expect(await idsOf(on.open())).toEqual(["a", "b", "c"]);
    expect(on.fake.seen.length).toBe(2);
  });

  it("names folders, not what lies in them or beside them", async () => {
    for (const key of ["k/a", "k/shop/x", "k/shop/y", "k/web/deep/z", "other/q"])
      on.fake.store(key, utf8("x"), {});
    const store = on.open() as ObjectBlobStore;
    expect((await foldersOf(store)).sort()).toEqual(["shop", "web"]);
  });

  it("locks as Kopia does, and prolongs", async () => {
    on.fake.retention = true;
    const store = on.open();
    await store.put("p1", utf8("one"), { retention: { mode: "GOVERNANCE", periodMs: 3_600_000 } });
    const first = on.fake.current("k/p1");
    expect(first?.mode).toBe("Locked");
    const lockedUntilMs = first?.lockedUntilMs ?? 0;
    expect(lockedUntilMs - Date.now()).toBeGreaterThan(3_590_000);
    await store.extendRetention("p1", { mode: "COMPLIANCE", periodMs: 7_200_000 });
    expect((first?.lockedUntilMs ?? 0) - lockedUntilMs).toBeGreaterThan(3_590_000);
    const missing = store.extendRetention("p2", { mode: "COMPLIANCE", periodMs: 1 });
    expect((await failure(missing)).code).toBe("DM_BLOB_NOT_FOUND");
    expect((await failure(store.delete("p1"))).code).toBe("DM_STORE_ACCESS_DENIED");
  });

  it("says that a container locks nothing", async () => {
    const retention = { mode: "COMPLIANCE", periodMs: 3_600_000 } as const;
    const error = await failure(on.open().put("p1", utf8("one"), { retention }));
    expect(error.code).toBe("DM_STORE_OPTION_UNSUPPORTED");
  });

  it("refuses changes when it is for reading only", async () => {
    const store = on.open({ readOnly: true });
    expect(store.readOnly).toBe(true);
    expect(store.features).toEqual({ ifAbsent: false, retention: false, setTimestamp: false });
    for (const change of [store.put("p1", utf8("one")), store.delete("p1")]) {
      expect((await failure(change)).code).toBe("DM_STORE_READ_ONLY");
    }
    expect(on.fake.seen).toEqual([]);
  });
}
