/** Both kinds are read alike, whichever Velero wrote them, and a note that somebody spoilt counts as none. */
import { annotations, type DataUpload, labels } from "@dm/crds";
import { describe, expect, it } from "vitest";
import {
  finalizerOf,
  kindOf,
  notes,
  ownerOf,
  resourceOf,
  type TransferKind,
  timestamp,
  transferKinds,
  viewTransfer,
} from "../../src/node-agent/transfer.ts";
import { clientPod, t0, transfer, transferObject } from "./objects.ts";

describe("viewTransfer", () => {
  it("reads a new object", () => {
    expect(transfer("DataUpload")).toMatchObject({
      phase: "New",
      cancel: false,
      deleting: false,
      snapshotType: "CSI",
      acceptedAtMs: t0,
      operationTimeoutMs: 600_000,
    });
    expect(transfer("DataDownload", { phase: "" })).toMatchObject({
      phase: "New",
      nodeOS: "linux",
    });
  });

  it("decision 3: reads who accepted and when from every layout", () => {
    const old = transferObject("DataUpload", { phase: "Accepted" }) as DataUpload;
    old.metadata.labels = { [labels.acceptedBy]: "n1" };
    old.metadata.annotations = { [annotations.acceptedAt]: timestamp(t0 + 9_000) };
    expect(viewTransfer("DataUpload", old)).toMatchObject({
      acceptedBy: "n1",
      acceptedAtMs: t0 + 9_000,
    });
    const oldest = transferObject("DataUpload", { phase: "Accepted", startedAtMs: t0 + 4_000 });
    expect(viewTransfer("DataUpload", oldest).acceptedAtMs).toBe(t0 + 4_000);
  });

  it("takes a timeout of nothing, or of nonsense, for the usual one", () => {
    for (const operationTimeout of ["0s", "soon", ""]) {
      const object = transferObject("DataUpload") as DataUpload;
      object.spec.operationTimeout = operationTimeout;
      expect(viewTransfer("DataUpload", object).operationTimeoutMs).toBe(600_000);
    }
  });

  it.each(["", "{", "null", "[]", '{"phase":"New","by":"a","atMs":1}', '{"phase":"Failed"}'])(
    "ignores a note that is none: %j",
    (text) => {
      const object = transferObject("DataUpload", { phase: "InProgress" });
      object.metadata.annotations = { [notes.ending]: text, [notes.resume]: text };
      const seen = viewTransfer("DataUpload", object);
      expect(seen.ending).toBeUndefined();
      expect(seen.resume).toBeUndefined();
    },
  );
});

describe("a pod's volume", () => {
  it("has its node from the start, or from who accepts it", () => {
    expect(transfer("PodVolumeBackup", { node: "b" })).toMatchObject({
      node: "b",
      acceptedBy: "b",
      client: clientPod,
      acceptedAtMs: t0,
      problem: undefined,
      operationTimeoutMs: 600_000,
    });
    expect(transfer("PodVolumeRestore").node).toBeUndefined();
    expect(transfer("PodVolumeRestore", { node: "b" })).toMatchObject({
      node: "b",
      acceptedBy: "b",
    });
  });

  it("is nobody's data mover's, and restic's is a problem", () => {
    const { dataMover, problem } = transfer("PodVolumeBackup", { uploaderType: "restic" });
    expect(dataMover).toBeUndefined();
    expect(problem).toContain("restic");
  });

  it("is of the one agent of its node", () => {
    const at = (kind: TransferKind, phase: string) => ownerOf(transfer(kind, { phase, node: "b" }));
    expect(at("PodVolumeBackup", "New")).toBe("b");
    expect(at("PodVolumeRestore", "New")).toBeUndefined();
    for (const kind of ["PodVolumeBackup", "PodVolumeRestore"] as const)
      for (const phase of ["Accepted", "Prepared", "InProgress", "Canceling"])
        expect(at(kind, phase)).toBe("b");
  });

  it.each(transferKinds)("a %s is known by its fields", (kind) => {
    expect(kindOf(transferObject(kind))).toBe(kind);
    expect(resourceOf(kind).kind).toBe(kind);
    expect(finalizerOf(kind)).toContain(kind.startsWith("Pod") ? "pod-volume" : "data-upload");
  });
});

describe("ownerOf", () => {
  it("is who accepted, then the pod's node, then who cleans up", () => {
    const given = { acceptedBy: "a", node: "b" };
    expect(ownerOf(transfer("DataUpload", given))).toBeUndefined();
    expect(ownerOf(transfer("DataUpload", { phase: "Accepted", ...given }))).toBe("a");
    expect(ownerOf(transfer("DataUpload", { phase: "InProgress", ...given }))).toBe("b");
    const ending = { phase: "Failed", by: "c", atMs: t0 } as const;
    expect(ownerOf(transfer("DataUpload", { phase: "Prepared", ...given, ending }))).toBe("c");
  });
});

it("timestamps have seconds, as Velero writes them", () => {
  expect(timestamp(Date.UTC(2026, 0, 2, 3, 4, 5, 678))).toBe("2026-01-02T03:04:05Z");
});
