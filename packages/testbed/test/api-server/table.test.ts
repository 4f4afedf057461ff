// Tables: ages, JSONPath, the columns of custom and built-in kinds, and the other forms an object is asked for in.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { humanDuration } from "../../src/api-server/age.ts";
import { parseJsonPath } from "../../src/api-server/json-path.ts";
import { printers } from "../../src/api-server/printers.ts";
import { type ApiServer, createApiServer, type Json, type StoredObject } from "../../src/index.ts";
import { virtualClock } from "../../src/virtual-clock.ts";
import { gadget, gadgetDefinition } from "./gadgets.ts";
import { httpClient } from "./http-client.ts";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

it.each<[number, string]>([
  [-5000, "<invalid>"],
  [-1000, "0s"],
  [-500, "0s"],
  [0, "0s"],
  [119_000, "119s"],
  [2 * minute, "2m"],
  [2 * minute + 5000, "2m5s"],
  [14 * minute, "14m"],
  [179 * minute, "179m"],
  [3 * hour, "3h"],
  [7 * hour + 30 * minute, "7h30m"],
  [47 * hour, "47h"],
  [2 * day + 3 * hour, "2d3h"],
  [8 * day, "8d"],
  [729 * day, "729d"],
  [2 * 365 * day + day, "2y1d"],
  [9 * 365 * day, "9y"],
])("%i ms are %s", (ms, text) => {
  expect(humanDuration(ms)).toBe(text);
});

it.each<[string, Json[]]>([
  [".status.phase", ["Ready"]],
  [".spec.items[0].name", ["a"]],
  [".spec.items[-1].name", ["b"]],
  [".spec.items[*].name", ["a", "b"]],
  [".status.conditions[?(@.type=='Ready')].status", ["True"]],
  ['.status.conditions[?(@.type=="Other")].status', []],
  [".metadata.annotations.example\\.com/x", ["y"]],
  [".metadata.annotations['example.com/x']", ["y"]],
  ["{.status.phase}", ["Ready"]],
  [".none.at.all", []],
])("JSONPath %s", (path, expected) => {
  const object = {
    metadata: { annotations: { "example.com/x": "y" } },
    spec: { items: [{ name: "a" }, { name: "b" }] },
    status: { phase: "Ready", conditions: [{ type: "Ready", status: "True" }] },
  };
  expect(parseJsonPath(path)?.(object)).toEqual(expected);
});

describe("built-in kinds", () => {
  const cells = (resource: string, object: Json): Record<string, Json> => {
    const printer = printers[resource];
    const metadata = { name: "x", creationTimestamp: "2026-01-01T00:00:00Z", ...object.metadata };
    const values = printer?.cells(
      { ...object, metadata } as StoredObject,
      Date.parse("2026-01-01T00:14:00Z"),
    );
    return Object.fromEntries(
      printer?.columns.map(({ name }, index) => [name, values?.[index]]) ?? [],
    );
  };
  const pod = (status: Json, metadata: Json = {}): Json => ({
    metadata,
    spec: { containers: [{ name: "a" }, { name: "b" }], initContainers: [{ name: "i" }] },
    status,
  });

  it.each<[string, Json, string]>([
    [
      "waiting",
      pod({
        phase: "Pending",
        containerStatuses: [{ state: { waiting: { reason: "ImagePullBackOff" } } }],
      }),
      "ImagePullBackOff",
    ],
    [
      "first container",
      pod({ phase: "Pending", initContainerStatuses: [{ state: { running: {} } }] }),
      "Init:0/1",
    ],
    [
      "failed first container",
      pod({
        phase: "Pending",
        initContainerStatuses: [{ state: { terminated: { exitCode: 3 } } }],
      }),
      "Init:ExitCode:3",
    ],
    [
      "ended",
      pod({
        phase: "Succeeded",
        containerStatuses: [{ state: { terminated: { exitCode: 0, reason: "Completed" } } }],
      }),
      "Completed",
    ],
    [
      "signal",
      pod({
        phase: "Failed",
        containerStatuses: [{ state: { terminated: { exitCode: 137, signal: 9 } } }],
      }),
      "Signal:9",
    ],
    ["evicted", pod({ phase: "Failed", reason: "Evicted" }), "Evicted"],
    [
      "going",
      pod({ phase: "Running" }, { deletionTimestamp: "2026-01-01T00:00:00Z" }),
      "Terminating",
    ],
    [
      "lost",
      pod({ phase: "Running", reason: "NodeLost" }, { deletionTimestamp: "2026-01-01T00:00:00Z" }),
      "Unknown",
    ],
  ])("pod: %s", (_name, object, status) => {
    expect(cells("pods", object)["Status"]).toBe(status);
  });

  it("pod: readiness and restarts", () => {
    const finishedAt = "2026-01-01T00:09:00Z";
    const statuses = [
      {
        ready: true,
        restartCount: 3,
        state: { running: {} },
        lastState: { terminated: { finishedAt } },
      },
      { ready: false, restartCount: 0, state: { running: {} } },
    ];
    const found = cells("pods", pod({ phase: "Running", containerStatuses: statuses }));
    expect(found).toMatchObject({
      Ready: "1/2",
      Restarts: "3 (5m ago)",
      Age: "14m",
      Status: "Running",
    });
  });

  it("claims, volumes, jobs, nodes", () => {
    const capacity = { storage: "1Gi" };
    const accessModes = ["ReadWriteMany", "ReadWriteOnce"];
    expect(
      cells("persistentvolumeclaims", {
        spec: { volumeName: "v", storageClassName: "fast", volumeMode: "Block" },
        status: { phase: "Bound", capacity, accessModes },
      }),
    ).toMatchObject({
      Status: "Bound",
      Capacity: "1Gi",
      "Access Modes": "RWO,RWX",
      VolumeMode: "Block",
    });
    expect(
      cells("persistentvolumes", {
        spec: { capacity, accessModes, claimRef: { namespace: "n", name: "c" } },
        status: { phase: "Released" },
      }),
    ).toMatchObject({ Claim: "n/c", Status: "Released" });
    expect(
      cells("jobs.batch", {
        spec: { completions: 1 },
        status: {
          succeeded: 1,
          startTime: "2026-01-01T00:00:00Z",
          completionTime: "2026-01-01T00:00:42Z",
          conditions: [{ type: "Complete", status: "True" }],
        },
      }),
    ).toMatchObject({ Status: "Complete", Completions: "1/1", Duration: "42s" });
    const conditions = [{ type: "Ready", status: "Unknown" }];
    expect(cells("nodes", { spec: { unschedulable: true }, status: { conditions } })).toMatchObject(
      {
        Status: "NotReady,SchedulingDisabled",
        Roles: "<none>",
      },
    );
  });
});

describe("over HTTP", () => {
  let server: ApiServer;
  const path = "/apis/example.com/v1/namespaces/default/gadgets";
  beforeEach(async () => {
    const clock = virtualClock(Date.parse("2026-01-01T00:00:00Z"));
    server = await createApiServer({ tls: false, clock });
    server.cluster.create("customresourcedefinitions.apiextensions.k8s.io", gadgetDefinition);
    server.cluster.create("gadgets.example.com", gadget("a"));
    await clock.advance(14 * minute);
  });
  afterEach(() => server.close());

  const asked = async (url: string, form: string): Promise<Json> => {
    const Accept = `application/json;as=${form};v=v1;g=meta.k8s.io,application/json`;
    return (await httpClient(server)("GET", url, undefined, { Accept })).body;
  };

  it("rows and columns of a custom kind", async () => {
    const table = await asked(path, "Table");
    expect(
      table.columnDefinitions.map(({ name, type, priority }: Json) => [name, type, priority]),
    ).toEqual([
      ["Name", "string", 0],
      ["Mode", "string", 0],
      ["Size", "integer", 10],
      ["Ready", "string", 0],
      ["Age", "date", 0],
    ]);
    expect(table.rows).toMatchObject([
      { cells: ["a", "fast", 3, null, "14m"], object: { kind: "PartialObjectMetadata" } },
    ]);
    const whole = await asked(`${path}/a?includeObject=Object`, "Table");
    expect(whole.rows[0].object.spec.mode).toBe("fast");
    const none = await asked(`${path}?includeObject=None`, "Table");
    expect(none.rows[0].object).toBeUndefined();
  });

  it("metadata alone", async () => {
    const list = await asked(path, "PartialObjectMetadataList");
    expect(list).toMatchObject({
      kind: "PartialObjectMetadataList",
      apiVersion: "meta.k8s.io/v1",
      items: [{ kind: "PartialObjectMetadata", metadata: { name: "a" } }],
    });
    expect(list.items[0].spec).toBeUndefined();
  });
});
