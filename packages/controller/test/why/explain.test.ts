/** What is said about objects as our controllers leave them. */
import { describe, expect, it } from "vitest";
import { explain } from "../../src/why/explain.ts";
import { explanationText } from "../../src/why/explanation-text.ts";
import type { Role, Seen, SeenObject } from "../../src/why/seen.ts";

const now = Date.parse("2026-11-25T12:00:00Z");

interface Part {
  readonly role?: Role;
  readonly kind: string;
  readonly name?: string;
  readonly namespace?: string;
  readonly fields?: object | undefined;
  readonly absent?: boolean;
  readonly warnings?: readonly (readonly [reason: string, message: string])[];
}

function seen(...parts: readonly Part[]): Seen {
  const objects = parts.map((part, index): SeenObject => {
    const { absent, fields, kind, name = "x", namespace = "velero", role, warnings = [] } = part;
    const metadata = { name, namespace, uid: `${kind}-${name}` };
    return {
      role: role ?? (index === 0 ? "subject" : "transfer"),
      kind,
      name,
      namespace,
      depth: index === 0 ? 0 : 1,
      object: absent ? undefined : { metadata, ...fields },
      events: warnings.map(([reason, message]) => ({
        metadata: {},
        involvedObject: {},
        type: "Warning",
        reason,
        message,
      })),
    };
  });
  return { namespace: "velero", objects, notRead: [] };
}

const server: Part = {
  role: "server",
  kind: "Deployment",
  name: "velero",
  fields: { spec: { replicas: 1 }, status: { readyReplicas: 1 } },
};
const agent: Part = {
  role: "node agent",
  kind: "Pod",
  name: "node-agent-1",
  fields: { spec: { nodeName: "node-1" }, status: { phase: "Running" } },
};
const waitingPod = (status: object): Part => ({
  role: "hosting pod",
  kind: "Pod",
  fields: { spec: {}, status: { phase: "Pending", ...status } },
});
const upload = (status: object, spec: object = {}): Part => ({
  kind: "DataUpload",
  fields: { spec: { datamover: "dm", ...spec }, status },
});

interface Row {
  readonly what: string;
  readonly parts: readonly Part[];
  readonly verdict: string;
  readonly problems: readonly string[];
  readonly says: string;
}

const rows: readonly Row[] = [
  {
    what: "nothing that is not there",
    parts: [{ kind: "Backup", absent: true }],
    verdict: "absent",
    problems: [],
    says: "Backup velero/x is not there",
  },
  {
    what: "a pod without a place",
    parts: [
      upload({ phase: "Accepted" }),
      waitingPod({
        conditions: [
          {
            type: "PodScheduled",
            status: "False",
            reason: "Unschedulable",
            message: "0/2 nodes are available: 2 Insufficient cpu.",
          },
        ],
      }),
      agent,
    ],
    verdict: "waiting",
    problems: ["pod-unschedulable"],
    says: "2 Insufficient cpu",
  },
  {
    what: "an image that is not there",
    parts: [
      upload({ phase: "Accepted" }),
      waitingPod({
        containerStatuses: [
          { name: "mover", state: { waiting: { reason: "ImagePullBackOff", message: "no such" } } },
        ],
      }),
      agent,
    ],
    verdict: "waiting",
    problems: ["image-pull"],
    says: "container mover waits: ImagePullBackOff: no such",
  },
  {
    what: "an upload that nobody accepts",
    parts: [upload({})],
    verdict: "waiting",
    problems: ["no-node-agent"],
    says: "no pod of a node agent runs in velero",
  },
  {
    what: "an upload that moves data",
    parts: [
      upload({ phase: "InProgress", node: "node-1", progress: { bytesDone: 5, totalBytes: 10 } }),
      agent,
    ],
    verdict: "waiting",
    problems: [],
    says: "5 of 10 bytes. It waits for its mover, which moves data now; nothing was found that hinders it",
  },
  {
    what: "an upload that has ended, with warnings on the way",
    parts: [
      { ...upload({ phase: "Completed" }), warnings: [["FailedMount", "not yet"]] },
      { role: "repository", kind: "BackupRepository", fields: { status: { phase: "NotReady" } } },
    ],
    verdict: "fine",
    problems: [],
    says: "nothing is wrong with it",
  },
  {
    what: "an upload that another mover should take",
    parts: [
      {
        kind: "DataUpload",
        fields: {
          metadata: { name: "x", creationTimestamp: "2026-11-25T11:00:00Z" },
          spec: { datamover: "velero" },
        },
      },
      agent,
    ],
    verdict: "waiting",
    problems: ["other-data-mover"],
    says: 'spec.datamover is "velero"',
  },
  {
    what: "a node that is away",
    parts: [
      upload({ phase: "InProgress", node: "node-1" }),
      {
        role: "node",
        kind: "Node",
        name: "node-1",
        namespace: "",
        fields: { status: { conditions: [{ type: "Ready", status: "Unknown" }] } },
      },
    ],
    verdict: "waiting",
    problems: ["node-lost"],
    says: "Node node-1 is not ready",
  },
  {
    what: "a Backup whose upload failed",
    parts: [
      { kind: "Backup", fields: { spec: {}, status: { phase: "PartiallyFailed", errors: 1 } } },
      {
        ...upload({ phase: "Failed", message: "timeout on preparing data upload: …" }),
        role: "transfer",
        warnings: [["FailedMount", "MountVolume.SetUp failed"]],
      },
      server,
    ],
    verdict: "failed",
    problems: ["volume-not-mounted"],
    says: "MountVolume.SetUp failed",
  },
  {
    what: "a Backup with errors that are of no volume",
    parts: [
      { kind: "Backup", fields: { spec: {}, status: { phase: "PartiallyFailed", errors: 2 } } },
      { ...upload({ phase: "Completed" }), role: "transfer" },
      server,
    ],
    verdict: "failed",
    problems: ["items-not-backed-up"],
    says: "Backup velero/x has 2 errors, and no volume failed",
  },
  {
    what: "that warnings of a server that runs by now are over",
    parts: [
      upload({ phase: "Failed", message: "timeout on preparing data upload" }),
      { ...agent, warnings: [["FailedScheduling", "0/2 nodes are available"]] },
    ],
    verdict: "failed",
    problems: ["prepare-timeout"],
    says: "the volume was not exposed in time",
  },
  {
    what: "the diagnosis of a time limit",
    parts: [
      upload({
        phase: "Failed",
        message:
          "timeout on preparing data upload: begin diagnose CSI exposer\nPod velero/x is not there\nVS velero/x, bind to c, readyToUse false, errMessage \nend diagnose CSI exposer",
      }),
      agent,
    ],
    verdict: "failed",
    problems: ["snapshot-not-ready"],
    says: "a volume snapshot is not ready",
  },
  {
    what: "a Backup in the queue",
    parts: [
      { kind: "Backup", fields: { spec: {}, status: { phase: "Queued", queuePosition: 2 } } },
      { role: "earlier", kind: "Backup", name: "y", fields: { status: { phase: "InProgress" } } },
      server,
    ],
    verdict: "waiting",
    problems: ["backup-queue"],
    says: "Backup velero/y is InProgress",
  },
  {
    what: "a Backup that no server looks at",
    parts: [{ kind: "Backup", fields: { spec: {} } }],
    verdict: "waiting",
    problems: ["server-not-running"],
    says: "there is no Deployment velero or dm-server in velero",
  },
  {
    what: "a Backup that is not valid",
    parts: [
      {
        kind: "Backup",
        fields: {
          spec: {},
          status: {
            phase: "FailedValidation",
            validationErrors: ["an existing backup storage location was not found: nowhere"],
          },
        },
      },
      server,
    ],
    verdict: "failed",
    problems: ["location-missing"],
    says: "not found: nowhere",
  },
  {
    what: "a location that cannot be used",
    parts: [
      {
        kind: "BackupStorageLocation",
        fields: {
          spec: {},
          status: { phase: "Unavailable", message: "there is no bucket b: create it, or …" },
        },
      },
      server,
    ],
    verdict: "failed",
    problems: ["location-bucket"],
    says: "there is no bucket b",
  },
  {
    what: "a Schedule that is paused",
    parts: [
      { kind: "Schedule", fields: { spec: { paused: true }, status: { phase: "Enabled" } } },
      server,
    ],
    verdict: "waiting",
    problems: ["schedule-paused"],
    says: "somebody to take back its pause",
  },
  {
    what: "a Schedule whose Backup runs",
    parts: [
      { kind: "Schedule", fields: { spec: {}, status: { phase: "Enabled" } } },
      { role: "backup", kind: "Backup", fields: { status: { phase: "InProgress" } } },
      server,
    ],
    verdict: "waiting",
    problems: ["schedule-waits"],
    says: "Backup velero/x is InProgress",
  },
  {
    what: "a deletion with errors",
    parts: [
      {
        kind: "DeleteBackupRequest",
        fields: {
          spec: { backupName: "b" },
          status: { phase: "Processed", errors: ["error deleting files of restore r: busy"] },
        },
      },
      server,
    ],
    verdict: "failed",
    problems: ["deletion-errors"],
    says: "status.errors has 1 of them",
  },
  {
    what: "an application that is not valid",
    parts: [
      {
        kind: "DataProtectionApplication",
        fields: {
          status: {
            conditions: [
              { type: "Reconciled", status: "False", reason: "Error", message: "DPA CR … nil" },
            ],
          },
        },
      },
    ],
    verdict: "failed",
    problems: ["application-invalid"],
    says: "Reconciled is False: DPA CR … nil",
  },
  {
    what: "a claim whose restore waits for a pod",
    parts: [
      {
        kind: "PersistentVolumeClaim",
        namespace: "shop",
        name: "data",
        fields: { spec: {}, status: { phase: "Pending" } },
      },
      {
        role: "transfer",
        kind: "DataDownload",
        fields: {
          spec: { datamover: "dm", targetVolume: { namespace: "shop", pvc: "other" } },
          status: { phase: "Accepted" },
        },
      },
      {
        role: "target claim",
        kind: "PersistentVolumeClaim",
        namespace: "shop",
        name: "other",
        fields: { spec: { storageClassName: "late" }, status: { phase: "Pending" } },
      },
      {
        role: "storage class",
        kind: "StorageClass",
        name: "late",
        namespace: "",
        fields: { provisioner: "csi", volumeBindingMode: "WaitForFirstConsumer" },
      },
      agent,
      server,
    ],
    verdict: "waiting",
    problems: ["claim-not-bound", "wait-for-first-consumer"],
    says: "PersistentVolumeClaim shop/other has no pod that uses it",
  },
];

describe("explain", () => {
  it.each(rows.map((row) => [row.what, row] as const))("knows %s", (_what, row) => {
    const told = explain(seen(...row.parts), now);
    expect(told.verdict).toBe(row.verdict);
    expect(told.problems.map(({ id }) => id).sort()).toEqual([...row.problems].sort());
    const text = explanationText(told);
    expect(text.replaceAll(/\s+/g, " ")).toContain(row.says);
    for (const id of row.problems) expect(text).toContain(`troubleshooting.md#${id})`);
    // Whoever is told of a failure is told what to do.
    if (row.verdict === "failed") expect(told.advice.length).toBeGreaterThan(0);
  });

  it("shows a few of many that fail alike, and puts the namespace into its advice", () => {
    const failed = Array.from(
      { length: 20 },
      (_, index): Part => ({
        ...upload({ phase: "Failed", message: "Asynchronous action timed out" }),
        name: `u${index}`,
      }),
    );
    const told = explain(
      seen({ kind: "Backup", fields: { status: { phase: "PartiallyFailed" } } }, ...failed),
      now,
    );
    expect(told.problems).toMatchObject([{ id: "item-timeout", shownBy: { length: 6 } }]);
    expect(told.problems[0]?.shownBy.at(-1)).toBe("and 15 more");
    const image = explain(
      seen(upload({ phase: "Accepted" }), {
        ...waitingPod({}),
        warnings: [["Failed", "ErrImagePull"]],
      }),
      now,
    );
    expect(image.advice.join()).toContain("kubectl -n velero describe pod");
  });

  it("says when it knows no reason", () => {
    const told = explain(seen(upload({ phase: "Failed", message: "the moon is full" })), now);
    expect(told.problems).toEqual([]);
    expect(told.summary).toContain("its own message is all that is known");
    expect(explanationText(told)).toContain("the moon is full");
    expect(told.advice.join()).toContain("must-gather");
  });
});
