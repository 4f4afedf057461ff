// The command line of a mover: what a node agent writes is read, and what nobody understands is refused.
import { expect, it } from "vitest";
import { moverArgs } from "../../src/expose/mover-command.ts";
import { dataPathKinds } from "../../src/mover/data-path-kind.ts";
import { moverDefaults, moverSettings } from "../../src/mover/mover-settings.ts";

it.each(dataPathKinds)("of a hosting pod for a %s", (kind) => {
  const [role, ...args] = moverArgs({
    kind,
    name: "x-1",
    volumePath: "/uid",
    volumeMode: "Block",
    terminationLog: "/dev/termination-log",
    resourceTimeout: "7m0s",
    cachePath: "/cache",
  });
  expect(role).toBe("mover");
  const environment = { VELERO_NAMESPACE: "velero", NODE_NAME: "n1" };
  expect(
    moverSettings([...args, "--log-level=debug", "--log-format=json"], environment),
  ).toMatchObject({
    kind,
    name: "x-1",
    namespace: "velero",
    volumePath: "/uid",
    volumeMode: "Block",
    terminationLog: "/dev/termination-log",
    resourceTimeoutMs: 7 * 60_000,
    node: "n1",
    parallelUploads: moverDefaults.parallelUploads,
    maxInFlightBytes: moverDefaults.maxInFlightBytes,
  });
});

it("budgets have flags", () => {
  const args = [
    "backup",
    "--data-upload=x",
    "--volume-path=/v",
    "--workers=1",
    "--parallel-uploads=3",
  ];
  const more = ["--max-in-flight-mib=8", "--checkpoint-interval=30s", "--progress-interval=1s"];
  expect(moverSettings([...args, ...more])).toMatchObject({
    workers: 1,
    parallelUploads: 3,
    maxInFlightBytes: 8 << 20,
    checkpointIntervalMs: 30_000,
    progressIntervalMs: 1_000,
  });
});

it.each([
  [[]],
  [["verify", "--data-upload=x", "--volume-path=/v"]],
  [["backup", "restore", "--data-upload=x", "--volume-path=/v"]],
  [["backup", "--data-download=x", "--volume-path=/v"]],
  [["restore", "--pod-volume-backup=x", "--volume-path=/v"]],
  [["backup", "--data-upload=x", "--pod-volume-backup=x", "--volume-path=/v"]],
  [["backup", "--data-upload=x"]],
  [["backup", "--data-upload=x", "--volume-path=/v", "--volume-mode=Tape"]],
  [["backup", "--data-upload=x", "--volume-path=/v", "--resource-timeout=soon"]],
  [["backup", "--data-upload=x", "--volume-path=/v", "--workers=-1"]],
  [["backup", "--data-upload=x", "--volume-path=/v", "--parallel-uploads=0"]],
  [["backup", "--data-upload=x", "--volume-path=/v", "--password=p"]],
])("refuses %j", (args) => {
  expect(() => moverSettings(args)).toThrow(TypeError);
});
