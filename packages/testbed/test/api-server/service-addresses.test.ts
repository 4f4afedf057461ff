// Cluster IPs and node ports: each is given once, stays over updates, and what another Service has is refused.
import { afterEach, beforeEach, expect, it } from "vitest";
import { ApiError, type ApiServer, createApiServer, type Json } from "../../src/index.ts";
import { virtualClock } from "../../src/virtual-clock.ts";

let server: ApiServer;
beforeEach(async () => {
  const clock = virtualClock(Date.parse("2026-01-02T03:04:05Z"));
  server = await createApiServer({ tls: false, clock });
});
afterEach(() => server.close());

const create = (name: string, spec: Json = {}): Json =>
  server.cluster.create("services", {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { ports: [{ port: 80 }], ...spec },
  }).spec;

it("gives every Service an address of its own", () => {
  const given = Array.from({ length: 50 }, (_, index) => create(`s${index}`).clusterIP);
  expect(new Set(given).size).toBe(50);
  for (const address of given) expect(address).toMatch(/^10\.96\.\d+\.\d+$/);
});

it("keeps to what was asked for, and refuses what another has", () => {
  expect(create("a", { clusterIP: "10.96.7.7" }).clusterIP).toBe("10.96.7.7");
  expect(create("b", { clusterIP: "None" }).clusterIP).toBe("None");
  expect(create("c", { clusterIP: "None" }).clusterIP).toBe("None");
  expect(() => create("d", { clusterIP: "10.96.7.7" })).toThrow(
    /failed to allocate IP 10\.96\.7\.7: provided IP is already allocated/,
  );
});

it("keeps address and node ports over an update that does not name them", () => {
  const before = create("a", { type: "NodePort" });
  expect(before.ports[0].nodePort).toBeGreaterThanOrEqual(30_000);
  const other = create("b", { type: "NodePort" });
  expect(other.ports[0].nodePort).not.toBe(before.ports[0].nodePort);
  const after = server.cluster.modify("services", "default", "a", (service) => {
    service.spec = { type: "NodePort", ports: [{ port: 80 }, { port: 81 }], selector: { a: "b" } };
  });
  expect(after?.spec).toMatchObject({ clusterIP: before.clusterIP, selector: { a: "b" } });
  expect(after?.spec.ports[0].nodePort).toBe(before.ports[0].nodePort);
  expect(() =>
    create("c", { type: "NodePort", ports: [{ port: 80, nodePort: before.ports[0].nodePort }] }),
  ).toThrow(ApiError);
});

it("refuses another address for a Service that has one", () => {
  create("a");
  const change = (): unknown =>
    server.cluster.modify("services", "default", "a", ({ spec }) => {
      spec.clusterIP = "10.96.1.1";
    });
  expect(change).toThrow(/may not change once set/);
});
