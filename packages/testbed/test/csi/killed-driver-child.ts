/** A process that has a driver put its volumes under pods, leaves one of them open in a child if asked to, and is killed. */
import { spawn } from "node:child_process";
import { mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "@dm/core";
import { CsiDriver } from "../../src/csi/csi-driver.ts";

const [, , directory = "", isToKeep] = process.argv;
const driver = await CsiDriver.open({ clock: systemClock, directory, canMount: true });
const object = {
  apiVersion: "v1",
  kind: "Any",
  metadata: {
    name: "any",
    namespace: "app",
    uid: "u",
    resourceVersion: "1",
    creationTimestamp: "",
  },
  spec: {},
};
mkdirSync(join(directory, "pods"), { recursive: true });
for (const { handle, kind } of driver.volumes()) {
  const name = kind === "raw" ? "block" : "files";
  const { path } = await driver.publish({
    claim: object,
    pod: object,
    volume: { ...object, spec: { csi: { volumeHandle: handle } } },
    readOnly: false,
    volumeName: name,
    podUid: "u",
    nodeName: "node",
    volumeMode: kind === "raw" ? "Block" : "Filesystem",
    targetPath: join(directory, "pods", name),
  });
  if (isToKeep !== "keep") writeSync(1, `${path}\n`);
  if (kind === "raw" || isToKeep !== "keep") continue;
  const file = openSync(join(path, "file"), "w");
  const keeper = spawn("sleep", ["600"], {
    stdio: ["ignore", "ignore", "ignore", file],
    detached: true,
  });
  keeper.unref();
  writeSync(1, `${keeper.pid}\n`);
}
process.kill(process.pid, "SIGKILL");
