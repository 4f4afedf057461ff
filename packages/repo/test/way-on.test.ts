// The way on from a damaged index blob, as the README tells it: rescue, recover, delete the damaged blob, verify.
import { utf8Decode, utf8Encode } from "@dm/core";
import { expect, it } from "vitest";
import { recoverIndex, verifyRepository } from "../src/index.ts";
import { newRepository } from "./new-repository.ts";

it("leads from a damaged index blob to a whole repository", async () => {
  const { open, repository, store } = await newRepository();
  const session = await repository.openWriteSession();
  const first = await session.writeObject(utf8Encode("first"));
  await session.commit();
  const [damaged] = [...store.blobs.keys()].filter((id) => id.startsWith("xn")).slice(-1);
  const second = await repository.openWriteSession();
  const last = await second.writeObject(utf8Encode("last"));
  await second.commit();

  const bytes = store.blobs.get(damaged!)!.slice();
  bytes[20]! ^= 1;
  await store.put(damaged!, bytes);
  const broken = await open();
  await expect(broken.openObject(last)).rejects.toMatchObject({ code: "DM_BLOB_ALTERED" });

  const rescue = await open({ ignoreDamagedIndexes: true });
  expect(utf8Decode(await (await rescue.openObject(last)).read())).toBe("last");
  await expect(rescue.openObject(first)).rejects.toMatchObject({ code: "DM_CONTENT_NOT_FOUND" });
  expect(rescue.damagedIndexBlobs.map(({ blobId }) => blobId)).toEqual([damaged]);
  expect(rescue.readOnly).toBe(true);

  // An opened repository has not loaded its index yet, and recovery does not need it.
  const repaired = await open();
  const { failures, indexBlobIds } = await recoverIndex(repaired, { commit: true });
  expect(failures).toEqual([]);
  expect(indexBlobIds.length).toBe(1);
  await repaired.store.delete(damaged!);

  const whole = await open();
  expect((await verifyRepository(whole)).findings).toEqual([]);
  for (const [id, text] of [
    [first, "first"],
    [last, "last"],
  ] as const)
    expect(utf8Decode(await (await whole.openObject(id)).read())).toBe(text);
});
