/** A restored pod waits in its first container, once, for just the volumes that are being filled. */
import { describe, expect, it } from "vitest";
import { withRestoreWait } from "../../src/pod-volume/index.ts";
import { podWith } from "./samples.ts";

const pod = podWith([{ name: "data", emptyDir: {} }]);
const settings = { image: "dm:1", command: ["/restore-wait"] };

describe("withRestoreWait", () => {
  it("puts Velero's init container in front of the others", () => {
    const before = { ...pod, spec: { ...pod.spec, initContainers: [{ name: "migrate" }] } };
    const [first, ...others] =
      withRestoreWait(before, "r-uid", ["data", "logs"], settings).spec.initContainers ?? [];
    expect(others).toEqual([{ name: "migrate" }]);
    expect(first).toEqual({
      name: "restore-wait",
      image: "dm:1",
      command: ["/restore-wait"],
      args: ["r-uid"],
      env: [
        { name: "POD_NAMESPACE", valueFrom: { fieldRef: { fieldPath: "metadata.namespace" } } },
        { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
        { name: "RESTORE_PATHS", value: "/restores/data:/restores/logs" },
      ],
      resources: {
        requests: { cpu: "100m", memory: "128Mi" },
        limits: { cpu: "100m", memory: "128Mi" },
      },
      securityContext: {
        allowPrivilegeEscalation: false,
        capabilities: { drop: ["ALL"] },
        seccompProfile: { type: "RuntimeDefault" },
        runAsUser: 1000,
        runAsNonRoot: true,
      },
      volumeMounts: [
        { name: "data", mountPath: "/restores/data" },
        { name: "logs", mountPath: "/restores/logs" },
      ],
    });
    expect(before.spec.initContainers).toEqual([{ name: "migrate" }]);
  });

  it("runs as the pod's first container does, so that it may look into the volumes", () => {
    const securityContext = { runAsUser: 27, runAsNonRoot: true };
    const ofUser = { ...pod, spec: { ...pod.spec, containers: [{ name: "c", securityContext }] } };
    const [first] = withRestoreWait(ofUser, "r", ["data"], settings).spec.initContainers ?? [];
    expect(first?.securityContext).toEqual(securityContext);
    const own = { ...settings, securityContext: { runAsUser: 1 }, args: ["wait"] };
    const [set] = withRestoreWait(ofUser, "r", ["data"], own).spec.initContainers ?? [];
    expect(set).toMatchObject({ securityContext: { runAsUser: 1 }, args: ["wait", "r"] });
  });

  it("replaces the one of an earlier restore, and leaves none where nothing is filled", () => {
    const once = withRestoreWait(pod, "first", ["data"], settings);
    const legacy = { name: "restic-wait", args: ["older"] };
    once.spec.initContainers?.push(legacy);
    const twice = withRestoreWait(once, "second", ["data"], settings);
    expect(twice.spec.initContainers?.map(({ name, args }) => [name, args])).toEqual([
      ["restore-wait", ["second"]],
    ]);
    expect(withRestoreWait(twice, "third", [], settings)).toEqual(pod);
  });
});
