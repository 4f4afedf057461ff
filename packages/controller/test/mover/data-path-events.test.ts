// A mover's Events: steps in order, one Event for all progress, and an end in time when the API is away.
import { StorageError } from "@dm/core";
import { type DataUpload, dataUploads, type KubeEvent } from "@dm/crds";
import { expect, it } from "vitest";
import { DataPathEvents } from "../../src/mover/data-path-events.ts";
import { dataPathReasons } from "../../src/mover/data-path-message.ts";
import type { KubeClient } from "../../src/runtime/kube-client.ts";

const upload = {
  metadata: { name: "du-1", namespace: "velero", uid: "uid-1" },
} as DataUpload;
const options = { node: "n1", progressIntervalMs: 5 };
const away = new StorageError("DM_KUBE_UNAVAILABLE", "away", {}, { retryable: true });

function clientOf(stored: KubeEvent[], isAway = () => false): KubeClient {
  const client: Pick<KubeClient, "create" | "patch"> = {
    async create(_, object) {
      if (isAway()) throw away;
      stored.push(object as unknown as KubeEvent);
      return object;
    },
    async patch(_, { name }, patch) {
      if (isAway()) throw away;
      const event = stored.find(({ metadata }) => metadata.name === name);
      return Object.assign(event as object, patch) as never;
    },
  };
  return client as KubeClient;
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 1));
}

it("steps are Events of their own, progress is one that changes", async () => {
  const stored: KubeEvent[] = [];
  const events = new DataPathEvents(clientOf(stored), dataUploads, upload, options);
  const told = (message: string) => () => stored.some((event) => event.message === message);
  events.tell(dataPathReasons.started, "started");
  for (const doneBytes of [1, 2, 3]) {
    events.progress({ totalBytes: 9, doneBytes });
    await until(told(`{"totalBytes":9,"doneBytes":${doneBytes}}`));
  }
  events.tell(dataPathReasons.completed, "{}");
  events.tell(dataPathReasons.stopped, "stopped");
  await events.end(1_000);
  expect(stored.map(({ reason }) => reason).sort()).toEqual(
    ["Data-Path-Completed", "Data-Path-Progress", "Data-Path-Started", "Data-Path-Stopped"].sort(),
  );
  for (const { involvedObject, source, type } of stored) {
    expect(type).toBe("Normal");
    expect(source).toEqual({ component: "du-1", host: "n1" });
    expect(involvedObject).toMatchObject({
      apiVersion: "velero.io/v2alpha1",
      kind: "DataUpload",
      name: "du-1",
      uid: "uid-1",
    });
  }
});

it("what could not be told is told later; the end does not wait for ever", async () => {
  const stored: KubeEvent[] = [];
  let isAway = true;
  const events = new DataPathEvents(
    clientOf(stored, () => isAway),
    dataUploads,
    upload,
    options,
  );
  events.progress({ totalBytes: 9, doneBytes: 1 });
  await new Promise((resolve) => setTimeout(resolve, 10));
  isAway = false;
  await until(() => stored.length === 1);
  isAway = true;
  events.tell(dataPathReasons.stopped, "stopped");
  await events.end(20);
  expect(stored.length).toBe(1);
});
