// Requests of clients are answered over HTTP, with caches and queues.
import { manualClock, nsPerMs } from "@dm/core";
import { downloadRequests, serverStatusRequests } from "@dm/crds";
import { expect, it, vi } from "vitest";
import { addRequestControllers } from "../../src/requests/request-controllers.ts";
import { createManager } from "../../src/runtime/manager.ts";
import { nodeKubeClient } from "../../src/runtime/node-client.ts";
import { operator, startMs, World } from "../retention/world.ts";

it("both kinds", { timeout: 20_000 }, async () => {
  await using world = await World.open();
  const client = nodeKubeClient({
    server: { url: world.server.url, token: world.server.adminToken },
  });
  const manager = createManager({ client });
  addRequestControllers(manager, {
    client,
    namespace: operator,
    serverVersion: "v1",
    // Not that of the API server, which goes on by itself: what has been answered must not be over yet.
    clock: manualClock(BigInt(startMs) * nsPerMs),
    signUrl: async (location, path) => `https://${location.name}/${path.join("/")}`,
  });
  const stop = new AbortController();
  const running = manager.run(stop.signal);
  await world.backup("nightly");
  const key = { namespace: operator, name: "r" };
  await client.create(serverStatusRequests, { metadata: key, spec: {} });
  await client.create(downloadRequests, {
    metadata: key,
    spec: { target: { kind: "BackupLog", name: "nightly" } },
  });
  await vi.waitFor(
    async () => {
      const status = await client.get(serverStatusRequests, key);
      expect(status?.status?.serverVersion).toBe("v1");
      const download = await client.get(downloadRequests, key);
      expect(download?.status?.downloadURL).toBe("https://default/backups/nightly/nightly-logs.gz");
    },
    { timeout: 10_000, interval: 20 },
  );
  stop.abort();
  await running;
  client.close();
});
