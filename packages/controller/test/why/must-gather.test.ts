/** The archive over HTTP from the API server of the testbed: what is in it, its index, and that no secret is. */
import { manualClock } from "@dm/core";
import { type ApiServer, createApiServer } from "@dm/testbed";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeTar } from "../../src/bucket/tar-codec.ts";
import { type NodeKubeClient, nodeKubeClient } from "../../src/runtime/node-client.ts";
import { mustGatherTar } from "../../src/why/must-gather.ts";
import { make, scene } from "./scene.ts";

const planted = {
  inSecret: "planted-Value-1-in-secret",
  inFile: "planted-Value-2-in-file",
  inVariable: "planted-Value-3-in-variable",
  inApplied: "planted-Value-4-in-applied",
  inLog: "planted-Value-5-in-log",
  inLocation: "planted-Value-6-in-location",
  inEvent: "planted-Value-7-in-event",
  inSettings: "planted-Value-8-in-settings",
};

let server: ApiServer;
let client: NodeKubeClient;
let tar: Buffer;
let files: Map<string, string>;
beforeAll(async () => {
  server = await createApiServer({ tls: false });
  const { cluster } = server;
  scene(cluster);
  const credentials = `[default]\naws_access_key_id=AKIAPLANTEDPLANTED12\naws_secret_access_key=${planted.inFile}\n`;
  make(
    cluster,
    "v1",
    "Secret",
    {
      name: "cloud-credentials",
      annotations: { "kubectl.kubernetes.io/last-applied-configuration": planted.inApplied },
    },
    {
      data: { cloud: btoa(credentials), other: btoa(planted.inSecret) },
    },
  );
  make(
    cluster,
    "v1",
    "Pod",
    {
      name: "tell-tale",
      annotations: { "kubectl.kubernetes.io/last-applied-configuration": planted.inApplied },
    },
    {
      spec: {
        containers: [
          {
            name: "c",
            image: "x",
            env: [{ name: "AWS_SECRET_ACCESS_KEY", value: planted.inVariable }],
          },
        ],
      },
      status: {
        phase: "Running",
        containerStatuses: [{ name: "c", lastState: { terminated: {} } }],
      },
    },
  );
  make(
    cluster,
    "v1",
    "ConfigMap",
    { name: "settings" },
    {
      data: { json: JSON.stringify({ accountKey: planted.inSettings, loadConcurrency: 3 }) },
    },
  );
  make(
    cluster,
    "velero.io/v1",
    "BackupStorageLocation",
    { name: "bad" },
    {
      spec: {
        provider: "aws",
        objectStorage: { bucket: "b" },
        config: { s3Url: `https://me:${planted.inLocation}@s3.example.com` },
      },
      status: {
        phase: "Unavailable",
        message: "there is no bucket b: create it, or check its name",
      },
    },
  );
  make(
    cluster,
    "v1",
    "Event",
    { name: "e" },
    {
      involvedObject: { kind: "Pod", name: "tell-tale" },
      type: "Warning",
      message: `refused https://s3/b?X-Amz-Signature=${planted.inEvent}`,
    },
  );
  client = nodeKubeClient({ server: { url: server.url, token: server.adminToken } });
  const parts: Uint8Array[] = [];
  const told: string[] = [];
  const logged = {
    ...client,
    podLog: async () =>
      [
        "it works",
        `GET https://a/b?sv=1&sig=${planted.inLog}`,
        `Authorization: Bearer ${planted.inLog}`,
        `the key ${planted.inSecret} and ${planted.inFile} of AKIAPLANTEDPLANTED12`,
      ].join("\n"),
  };
  for await (const part of mustGatherTar(logged, {
    namespace: "velero",
    version: "1.2.3",
    clock: manualClock(1_800_000_000_000_000_000n),
    onFile: (path) => told.push(path),
  }))
    parts.push(part);
  tar = Buffer.concat(parts);
  files = new Map();
  for (const { bytes, path } of decodeTar(tar)) files.set(path, new TextDecoder().decode(bytes));
  expect([...files.keys()]).toEqual(told);
}, 30_000);
afterAll(async () => {
  client?.close();
  await server?.close();
});

const file = (path: string): string => files.get(`must-gather/${path}`) ?? "";

describe("must-gather", () => {
  it("has no secret in any byte", () => {
    const text = tar.toString("latin1");
    for (const value of Object.values(planted)) {
      expect(text).not.toContain(value);
      expect(text).not.toContain(btoa(value));
    }
    expect(text).not.toContain("AKIAPLANTED");
    expect(text).not.toContain("last-applied");
    // They were looked at, not left out.
    expect(file("logs/tell-tale/c.log")).toContain("it works\nGET https://a/b?sv=1&sig=***");
    expect(file("objects/pods/velero/tell-tale.json")).toContain("AWS_SECRET_ACCESS_KEY");
    expect(file("objects/configmaps/velero/settings.json")).toContain("loadConcurrency");
  });

  it("has objects, events, logs of this and the last run, and versions", () => {
    expect(JSON.parse(file("objects/datauploads.velero.io/velero/up-1.json"))).toMatchObject({
      kind: "DataUpload",
      status: { phase: "Failed" },
    });
    expect(file("objects/volumesnapshots.snapshot.storage.k8s.io/shop/snap-1.json")).not.toBe("");
    expect(file("objects/backuprepositories.velero.io/velero/shop-default-kopia.json")).toContain(
      "Ready",
    );
    expect(file("events.txt")).toContain("Warning Pod/up-1 FailedScheduling (1): 0/2 nodes");
    expect(file("logs/tell-tale/c.previous.log")).not.toBe("");
    expect(JSON.parse(file("versions.json"))).toMatchObject({
      namespace: "velero",
      program: "1.2.3",
      images: expect.arrayContaining(["example.com/dm:1"]),
    });
    expect([...files.keys()].filter((path) => /secrets/.test(path))).toEqual([]);
    expect([...files.keys()].filter((path) => path.includes("objects/pods/shop"))).toEqual([]);
  });

  it("explains what has failed", () => {
    expect(file("why/dataupload-velero-up-1.txt")).toContain("2 Insufficient cpu");
    expect(file("why/backupstoragelocation-velero-bad.txt")).toContain(
      "troubleshooting.md#location-bucket",
    );
    expect(files.has("must-gather/why/schedule-velero-daily.txt")).toBe(false);
  });

  it("has an index that says where to begin", () => {
    const index = file("index.md");
    expect([...files.keys()].at(-1)).toBe("must-gather/index.md");
    for (const line of [
      "- backups.velero.io: 1 (PartiallyFailed: 1)",
      "- cloud-credentials",
      "[location-bucket]: why/backupstoragelocation-velero-bad.txt",
      "collected by dm 1.2.3",
      "warnings: 2",
    ])
      expect(index).toContain(line);
    expect(index).not.toContain("Not collected");
  });
});
