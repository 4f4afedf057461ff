// One object followed through watches that end, break and expire: no change is missed, and what asking again cannot help is thrown.
import { FormatError, manualClock, StorageError } from "@dm/core";
import { type DataUpload, dataUploads } from "@dm/crds";
import { expect, it } from "vitest";
import { followObject } from "../../src/mover/follow-object.ts";
import type { KubeClient, WatchEvent } from "../../src/runtime/kube-client.ts";

type Step = { get: string | undefined | Error } | { watch: (WatchEvent<DataUpload> | Error)[] };

const object = (resourceVersion: string, name = "du"): DataUpload =>
  ({ metadata: { name, namespace: "velero", resourceVersion } }) as DataUpload;

/** Answers in this order; `asked` has the versions from which watches began. */
function scripted(steps: Step[], asked: string[] = []): Pick<KubeClient, "get" | "watch"> {
  return {
    async get() {
      const step = steps.shift();
      if (step === undefined || !("get" in step)) throw new Error("no read was expected");
      if (step.get instanceof Error) throw step.get;
      return (step.get === undefined ? undefined : object(step.get)) as never;
    },
    async *watch(_, { resourceVersion }) {
      asked.push(resourceVersion);
      const step = steps.shift();
      if (step === undefined || !("watch" in step)) throw new Error("no watch was expected");
      for (const event of step.watch) {
        if (event instanceof Error) throw event;
        yield event as never;
      }
    },
  };
}

async function follow(
  steps: Step[],
  count: number,
  asked?: string[],
): Promise<(string | undefined)[]> {
  const seen: (string | undefined)[] = [];
  const controller = new AbortController();
  const options = { signal: controller.signal, clock: manualClock(0n) };
  const key = { namespace: "velero", name: "du" };
  for await (const each of followObject(scripted(steps, asked), dataUploads, key, options)) {
    seen.push(each?.metadata.resourceVersion);
    if (seen.length === count) controller.abort();
  }
  return seen;
}

const away = new StorageError("DM_KUBE_UNAVAILABLE", "away", {}, { retryable: true });
const expired = new StorageError("DM_KUBE_EXPIRED", "too old");

it("yields reads and changes of this object, and nothing for others and bookmarks", async () => {
  const asked: string[] = [];
  const watch: WatchEvent<DataUpload>[] = [
    { type: "MODIFIED", object: object("2") },
    { type: "MODIFIED", object: object("3", "other") },
    { type: "BOOKMARK", object: object("4") },
    { type: "DELETED", object: object("5") },
  ];
  expect(await follow([{ get: "1" }, { watch }], 3, asked)).toEqual(["1", "2", undefined]);
  expect(asked).toEqual(["1"]);
});

it("rows 54, 55: reads again when a watch ends, breaks or is too old", async () => {
  const steps: Step[] = [
    { get: away },
    { get: "1" },
    { watch: [] },
    { get: "2" },
    { watch: [away] },
    { get: "3" },
    { watch: [expired] },
    { get: "4" },
  ];
  expect(await follow(steps, 4)).toEqual(["1", "2", "3", "4"]);
});

it("throws what will not pass", async () => {
  const refused = new FormatError("DM_KUBE_INVALID", "no");
  await expect(follow([{ get: refused }], 1)).rejects.toBe(refused);
});
