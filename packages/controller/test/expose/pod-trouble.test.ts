// What ends a hosting pod for good, and what does not: statuses and warnings as kubelets and schedulers write them.
import type { ContainerStatus, Pod, PodStatus } from "@dm/crds";
import { describe, expect, it } from "vitest";
import {
  isRelabelFailure,
  isStarting,
  relabelFailureText,
  startMessages,
  unrecoverablePod,
} from "../../src/expose/pod-trouble.ts";

const container = (state: ContainerStatus["state"]): ContainerStatus => ({
  name: "6b1f",
  image: "dm:1",
  imageID: "",
  ready: false,
  restartCount: 0,
  ...(state && { state }),
});

const pod = (status: PodStatus): Pod => ({
  metadata: { name: "backup-1", namespace: "velero" },
  spec: { containers: [] },
  status,
});

describe("a hosting pod", () => {
  it.each(["Failed", "Unknown"])("row 43: in phase %s is over", (phase) => {
    const ended = container({ terminated: { exitCode: 137, message: "killed" } });
    expect(unrecoverablePod(pod({ phase, message: "node lost", containerStatuses: [ended] }))).toBe(
      `Pod is in abnormal state [${phase}], message [node lost/killed/]`,
    );
  });

  it.each(["ImagePullBackOff", "ErrImageNeverPull"])("row 42: cannot start with %s", (reason) => {
    const waiting = container({ waiting: { reason } });
    expect(unrecoverablePod(pod({ phase: "Pending", containerStatuses: [waiting] }))).toBe(
      `Container 6b1f in Pod velero/backup-1 is in pull image failed with reason ${reason}`,
    );
  });

  it("row 41: that cannot be scheduled may be scheduled later", () => {
    const conditions = [{ type: "PodScheduled", status: "False", reason: "Unschedulable" }];
    const unschedulable = pod({ phase: "Pending", conditions });
    expect(unrecoverablePod(unschedulable)).toBeUndefined();
    expect(isStarting(unschedulable)).toBe(true);
  });

  it.each([
    { phase: "Running" },
    {
      phase: "Pending",
      containerStatuses: [container({ waiting: { reason: "ContainerCreating" } })],
    },
    {},
  ])("may go on: %o", (status) => {
    expect(unrecoverablePod(pod(status))).toBeUndefined();
  });
});

describe("row 29: a full volume that cannot be relabelled", () => {
  const event =
    "Error: relabel failed /var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/pvc-1/mount: lsetxattr /var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/pvc-1/mount/a: no space left on device";

  it.each([
    ["an event", startMessages(pod({ phase: "Pending" }), [{ message: event }])],
    [
      "a waiting container",
      startMessages(
        pod({
          phase: "Pending",
          containerStatuses: [
            container({ waiting: { reason: "CreateContainerError", message: event } }),
          ],
        }),
        [],
      ),
    ],
    ["either word", ["lsetxattr(/x): No space left on device"]],
  ])("is known by %s", (_name, messages) => {
    expect(isRelabelFailure(messages)).toBe(true);
  });

  it.each([
    [["no space left on device"]],
    [["relabel failed: permission denied"]],
    // Two events about different things are not one cause.
    [["relabel failed: permission denied", "image: no space left on device"]],
  ])("is not read into %o", (messages) => {
    expect(isRelabelFailure(messages)).toBe(false);
  });

  it("is told with its cause and what to do", () => {
    expect(relabelFailureText("shop/db", "fast")).toBe(
      "cannot attach snapshot of shop/db: the volume is full and its file system (XFS) has no room for SELinux labels (no space left on device). Enlarge the volume, use ext4, or set backupPVC readOnly with spcNoRelabeling for storage class fast.",
    );
  });
});
