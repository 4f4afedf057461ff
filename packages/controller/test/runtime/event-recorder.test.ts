/** What is recorded is in the API server, in order, one object each or counted, through errors of the server. */
import { type ConfigMap, configMaps, events, type KubeEvent } from "@dm/crds";
import { describe, expect, it } from "vitest";
import { createEventRecorder } from "../../src/runtime/event-recorder.ts";
import { configMap, type TestApi, testApi } from "./api.ts";

async function stand() {
  const api = await testApi();
  const object = await api.client.create(configMaps, configMap("a", "1") as ConfigMap);
  return { api, object };
}

async function eventsOf(api: TestApi): Promise<KubeEvent[]> {
  const { items } = await api.client.list(events, { fieldSelector: "involvedObject.name=a" });
  return items.sort((a, b) => (a.metadata.name! < b.metadata.name! ? -1 : 1));
}

describe("the event recorder", () => {
  it("writes one object for each event, even for equal ones at one time", async () => {
    const { api, object } = await stand();
    const recorder = createEventRecorder(api.client, {
      component: "du1",
      host: "n1",
      clock: api.clock,
    });
    for (const message of ["1", "1", "2"])
      recorder.record(configMaps, object, { reason: "Progress", message });
    recorder.record(configMaps, object, { type: "Warning", reason: "Failed", message: "because" });
    await recorder.flush();
    const written = await eventsOf(api);
    expect(written.map(({ type, reason, message }) => [type, reason, message])).toEqual([
      ["Normal", "Progress", "1"],
      ["Normal", "Progress", "1"],
      ["Normal", "Progress", "2"],
      ["Warning", "Failed", "because"],
    ]);
    expect(written[0]).toMatchObject({
      involvedObject: {
        apiVersion: "v1",
        kind: "ConfigMap",
        namespace: "default",
        name: "a",
        uid: object.metadata.uid,
      },
      source: { component: "du1", host: "n1" },
      firstTimestamp: "2026-01-01T00:00:00Z",
      lastTimestamp: "2026-01-01T00:00:00Z",
      count: 1,
    });
  });

  it("counts equal ones when asked to, within its time", async () => {
    const { api, object } = await stand();
    const recorder = createEventRecorder(api.client, {
      component: "dm",
      clock: api.clock,
      countWithinMs: 600_000,
    });
    const record = async (message: string): Promise<void> => {
      recorder.record(configMaps, object, { reason: "Waiting", message });
      await recorder.flush();
    };
    await record("for a node");
    await api.clock.advance(60_000);
    await record("for a node");
    await record("for a volume");
    await record("for a node");
    await api.clock.advance(700_000);
    await record("for a node");
    const written = await eventsOf(api);
    expect(
      written.map(({ message, count, lastTimestamp }) => [message, count, lastTimestamp]),
    ).toEqual([
      ["for a node", 3, "2026-01-01T00:01:00Z"],
      ["for a volume", 1, "2026-01-01T00:01:00Z"],
      ["for a node", 1, "2026-01-01T00:12:40Z"],
    ]);
  });

  it("writes through errors, and gives up what the server refuses", async () => {
    const { api, object } = await stand();
    const recorder = createEventRecorder(api.client, { component: "dm", clock: api.clock });
    let posts = 0;
    api.proxy.fault = ({ method }) => {
      if (method !== "POST") return undefined;
      posts += 1;
      if (posts === 3) return { status: 403, reason: "Forbidden" };
      // The second one is written, although the answer says otherwise: not to be seen twice.
      return posts < 3
        ? { status: 500, reason: "InternalError", afterwards: posts === 2 }
        : undefined;
    };
    for (const message of ["one", "two", "three"]) {
      recorder.record(configMaps, object, { reason: "Told", message });
    }
    let flushed = false;
    const flush = recorder.flush().then(() => {
      flushed = true;
    });
    await api.until(() => flushed);
    await flush;
    // Attempts: one (500), one (written, 500), one again (403: given up), two, three.
    expect((await eventsOf(api)).map(({ message }) => message)).toEqual(["one", "two", "three"]);
  });

  it("cuts long messages between characters, and puts events of nodes into the default namespace", async () => {
    const { api } = await stand();
    const recorder = createEventRecorder(api.client, { component: "dm", clock: api.clock });
    recorder.record(
      configMaps,
      { metadata: { name: "a" } },
      { reason: "Long", message: "é".repeat(2_000) },
    );
    await recorder.flush();
    const [event] = await eventsOf(api);
    expect(event?.metadata.namespace).toBe("default");
    expect(Buffer.byteLength(event?.message ?? "")).toBeLessThanOrEqual(1_024);
    expect(event?.message).toMatch(/^é{500,}…$/);
  });

  it("never throws, and does not wait for ever when told to stop waiting", async () => {
    const { api, object } = await stand();
    const recorder = createEventRecorder(api.client, { component: "dm", clock: api.clock });
    api.proxy.down = true;
    for (let at = 0; at < 1_100; at += 1) {
      recorder.record(configMaps, object, { reason: "Told", message: String(at) });
    }
    const stop = new AbortController();
    const flush = recorder.flush({ signal: stop.signal });
    stop.abort(new Error("enough"));
    await expect(flush).rejects.toThrow("enough");
    await createEventRecorder(api.client, { component: "dm" }).flush();
  });
});
