// An earlier time of an Azure container. Azurite keeps no versions; the fake shows them as Kopia reads them (a deletion is an entry
// with versions only).
import { expect, it } from "vitest";
import { azureOn, startFakeAzure } from "./fake-azure.ts";
import { onFake, utf8 } from "./object-service.ts";
import { contentOf, lastChange, testObjectVersions } from "./object-versions.ts";

const on = onFake(startFakeAzure, azureOn);

testObjectVersions({
  on,
  isSecondPage: ({ url }) => url.searchParams.get("marker") === "1",
  knowsGaps: false,
});

it("does not know that a blob was away before it came again: the service keeps no trace of it", async () => {
  const now = on.open();
  await now.put("a", utf8("one"));
  await now.delete("a");
  const pointInTime = lastChange(on.fake);
  expect(await contentOf(on.open({ pointInTime }))).toEqual({});
  await now.put("a", utf8("two"));
  expect(await contentOf(on.open({ pointInTime }))).toEqual({ a: "one" });
  expect(await contentOf(on.open({ pointInTime: lastChange(on.fake) }))).toEqual({ a: "two" });
});
