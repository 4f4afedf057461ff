// A ServerStatusRequest is answered once, and goes a minute later.
import { serverStatusRequests } from "@dm/crds";
import { afterEach, beforeEach, expect, it } from "vitest";
import { reconcileServerStatusRequest } from "../../src/requests/reconcile-server-status-request.ts";
import { operator, World } from "../retention/world.ts";

let world: World;
beforeEach(async () => {
  world = await World.open();
});
afterEach(() => world[Symbol.asyncDispose]());

it("says version and plugins", async () => {
  const { client, clock, logger } = world.deps;
  const key = { namespace: operator, name: "who" };
  const deps = {
    client,
    clock,
    logger,
    signUrl: async () => "",
    serverVersion: "v1.2.3",
    plugins: [{ name: "velero.io/aws", kind: "ObjectStore" }],
  };
  const reconcile = () => reconcileServerStatusRequest(deps, key);
  expect(await reconcile()).toEqual({});
  await client.create(serverStatusRequests, { metadata: key, spec: {} });
  expect(await reconcile()).toEqual({ requeueAfterMs: 60_000 });
  expect((await client.get(serverStatusRequests, key))?.status).toEqual({
    phase: "Processed",
    processedTimestamp: "2026-11-25T12:00:00Z",
    serverVersion: "v1.2.3",
    plugins: [{ name: "velero.io/aws", kind: "ObjectStore" }],
  });
  world.advance(59_000);
  expect(await reconcile()).toEqual({ requeueAfterMs: 1_000 });
  world.advance(1_000);
  expect(await reconcile()).toEqual({});
  expect(await client.get(serverStatusRequests, key)).toBeUndefined();
});
