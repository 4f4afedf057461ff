// A cluster that is started again with its directory goes on: objects, addresses and volumes are there, and what ran is as after
// a power failure.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import {
  containerOf,
  createPod,
  logOf,
  openCluster,
  phase,
  shell,
  sleeper,
  until,
  untilLog,
  untilPod,
} from "./running-cluster.ts";

it("goes on where it was", async () => {
  const directory = await mkdtemp(join(tmpdir(), "dm-restart-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const first = await openCluster({ directory });
  createPod(first.api, "always", {
    restartPolicy: "Always",
    containers: [shell(`echo up; ${sleeper}`)],
  });
  createPod(first.api, "never", { containers: [shell(sleeper)] });
  createPod(first.api, "done", { containers: [shell("echo result > /dev/termination-log")] });
  const before = await untilPod(first.api, "always", phase("Running"));
  await untilPod(first.api, "never", phase("Running"));
  await untilPod(first.api, "done", phase("Succeeded"));
  await untilLog(first, "always", "up");
  await first.close();

  const second = await openCluster({ directory });
  const after = await untilPod(
    second.api,
    "always",
    (pod) => containerOf(pod)?.restartCount === 1 && containerOf(pod).state.running !== undefined,
  );
  expect(after.metadata.uid).toBe(before.metadata.uid);
  expect(after.status.podIP).toBe(before.status.podIP);
  expect(await logOf(second, "always", true)).toBe("up\n");
  await untilPod(second.api, "never", phase("Failed"));
  const done = second.api.get("pods", "default", "done");
  expect(done?.status.containerStatuses[0].state.terminated.message).toBe("result\n");
  createPod(second.api, "new", { containers: [shell(sleeper)] });
  const fresh = await untilPod(second.api, "new", phase("Running"));
  const addresses = second.api.list("pods").map(({ status }) => status.podIP);
  if (process.platform === "linux") expect(new Set(addresses).size).toBe(addresses.length);
  expect(fresh.status.podIP).toBeDefined();
  await until(second.api, "nodes", ({ status }) =>
    status?.conditions?.some(
      ({ type, status: value }: { type: string; status: string }) =>
        type === "Ready" && value === "True",
    ),
  );
});

it("leaves nothing open when it cannot start", async () => {
  const directory = await mkdtemp(join(tmpdir(), "dm-restart-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  // A file where the node's root has to be.
  await writeFile(join(directory, "nodes"), "");
  const before = process.getActiveResourcesInfo().filter((name) => name === "TCPServerWrap");
  await expect(openCluster({ directory })).rejects.toThrow(/ENOTDIR|EEXIST/);
  const after = process.getActiveResourcesInfo().filter((name) => name === "TCPServerWrap");
  expect(after).toEqual(before);
});
