/** Each write changes what it names and nothing else. */
import { type DataUpload, finalizers, labels } from "@dm/crds";
import { describe, expect, it } from "vitest";
import { notes, type TransferKind, timestamp } from "../../src/node-agent/transfer.ts";
import * as transitions from "../../src/node-agent/transitions.ts";
import { snapshotID, t0, transferObject } from "./objects.ts";

const kinds = ["DataUpload", "DataDownload"] satisfies TransferKind[];
const nodeOfStatus = ({ status }: { status?: object | undefined }): unknown =>
  (status as { node?: string } | undefined)?.node;
const now = timestamp(t0);

describe("a pod's volume", () => {
  it("a PodVolumeBackup has no field for who works on it: its specification says where", () => {
    const object = transferObject("PodVolumeBackup", { finalizer: false });
    const accepted = transitions.accepted(object, "a", t0);
    expect(accepted.status).toEqual({ phase: "Accepted", acceptedTimestamp: now });
    expect(transitions.prepared(accepted, "a").status).toEqual({
      phase: "Prepared",
      acceptedTimestamp: now,
    });
    expect(transitions.withFinalizer(object).metadata.finalizers).toEqual([finalizers.podVolume]);
    const verdict = { phase: "Completed", snapshotID, path: "/u", incrementalBytes: 4 } as const;
    const { status } = transitions.ended("PodVolumeBackup", accepted, verdict, t0);
    expect(status).toMatchObject({ snapshotID, path: "/u", incrementalBytes: 4 });
    expect(nodeOfStatus({ status })).toBeUndefined();
  });

  it("a PodVolumeRestore has its node from when it is accepted", () => {
    const object = transferObject("PodVolumeRestore", { finalizer: false });
    const accepted = transitions.accepted(object, "a", t0);
    expect(accepted.status).toEqual({ phase: "Accepted", acceptedTimestamp: now, node: "a" });
    const failed = transitions.ended("PodVolumeRestore", accepted, { phase: "Failed" }, t0);
    expect(failed.status?.startTimestamp).toBeUndefined();
  });
});

describe.each(kinds)("%s", (kind) => {
  const object = () => {
    const made = transferObject(kind, { finalizer: false });
    made.metadata.labels = { mine: "kept" };
    made.metadata.annotations = { mine: "kept" };
    made.metadata.finalizers = ["other/finalizer"];
    return made;
  };

  it("leaves the given object and foreign fields alone", () => {
    const before = object();
    const writes = [
      transitions.withFinalizer(before),
      transitions.withoutFinalizer(before),
      transitions.accepted(before, "a", t0),
      transitions.prepared(before, "a"),
      transitions.started(kind, before, "linux", t0),
      transitions.withProgress(before, { totalBytes: 2, doneBytes: 1 }),
      transitions.cancelRequested(before, "x"),
      transitions.canceling(before, t0),
      transitions.withResume(before, { count: 1, cause: "x", atMs: t0, pending: true }, "a"),
      transitions.ended(kind, before, { phase: "Failed", message: "x" }, t0),
    ];
    expect(before).toEqual(object());
    for (const { metadata, spec } of writes) {
      expect(metadata.labels).toMatchObject({ mine: "kept" });
      expect(metadata.annotations).toMatchObject({ mine: "kept" });
      expect(metadata.finalizers).toContain("other/finalizer");
      expect({ ...spec, cancel: undefined }).toEqual({ ...before.spec, cancel: undefined });
    }
  });

  it("New → Accepted: who, when, and a place in the prepare queue", () => {
    const next = transitions.accepted(object(), "a", t0);
    expect(next.status).toMatchObject({
      phase: "Accepted",
      acceptedByNode: "a",
      acceptedTimestamp: now,
    });
    expect(next.metadata.labels?.[labels.exposeOnGoing]).toBe("true");
    const running = transitions.started(kind, next, "linux", t0);
    expect(running.status).toMatchObject({ phase: "InProgress", startTimestamp: now });
    expect(running.metadata.labels?.[labels.exposeOnGoing]).toBeUndefined();
    expect((running as DataUpload).status?.nodeOS).toBe(
      kind === "DataUpload" ? "linux" : undefined,
    );
  });

  it("→ Completed: result, times, and all notes gone", () => {
    const ending = { phase: "Completed", by: "a", atMs: t0 } as const;
    const running = transitions.canceling(
      transitions.withEnding(
        transitions.withFinalizer(transitions.accepted(object(), "a", t0)),
        ending,
      ),
      t0,
    );
    const next = transitions.ended(
      kind,
      running,
      { phase: "Completed", snapshotID, path: "/u", incrementalBytes: 4, totalBytes: 9 },
      t0 + 1_000,
    );
    expect(next.status).toMatchObject({
      phase: "Completed",
      completionTimestamp: timestamp(t0 + 1_000),
      progress: { bytesDone: 9, totalBytes: 9 },
    });
    if (kind === "DataUpload")
      expect(next.status).toMatchObject({ snapshotID, path: "/u", incrementalBytes: 4 });
    else expect(next.status).not.toHaveProperty("snapshotID");
    expect(next.metadata.annotations).toEqual({ mine: "kept" });
    expect(next.metadata.labels).toEqual({ mine: "kept" });
    expect(next.metadata.finalizers).not.toContain(finalizers.dataUploadDownload);
  });

  it("→ Failed: the start is filled in for a DataUpload, left alone for a DataDownload", () => {
    const { status } = transitions.ended(kind, object(), { phase: "Failed", message: "x" }, t0);
    expect(status).toMatchObject({ message: "x", completionTimestamp: now });
    expect(status?.startTimestamp).toBe(kind === "DataUpload" ? now : undefined);
  });

  it("→ Canceled: a message from before stays", () => {
    const asked = transitions.cancelRequested(object(), "because");
    const { status } = transitions.ended(kind, asked, { phase: "Canceled" }, t0);
    expect(status).toMatchObject({ message: "because", startTimestamp: now });
  });

  it("taking over changes who is in charge of what there is", () => {
    const accepted = transitions.accepted(object(), "a", t0);
    expect(transitions.adopted(accepted, undefined, "b", t0).status).toMatchObject({
      acceptedByNode: "b",
      acceptedTimestamp: now,
    });
    const prepared = transitions.prepared(accepted, "a");
    expect(nodeOfStatus(transitions.adopted(prepared, undefined, "b", t0))).toBe("b");
    const ending = { phase: "Failed", by: "a", atMs: t0 } as const;
    const ended = transitions.adopted(prepared, ending, "b", t0 + 1);
    expect(nodeOfStatus(ended)).toBe("a");
    expect(JSON.parse(ended.metadata.annotations?.[notes.ending] ?? "")).toEqual({
      ...ending,
      by: "b",
      atMs: t0 + 1,
    });
  });
});
