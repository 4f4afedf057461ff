// Pods run as processes of the host and are reported as a real kubelet reports them: phases, exits, restarts, termination, images,
// faults. Every state is waited for by watch; pauses are short, none is measured.
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Json, StoredObject } from "../../src/kube-object.ts";
import { defaultKubeletTimes } from "../../src/kubelet/times.ts";
import { virtualClock } from "../../src/virtual-clock.ts";
import {
  containerOf,
  createPod,
  eventReasons,
  isAlive,
  logOf,
  openCluster,
  phase,
  shell,
  sleeper,
  until,
  untilGone,
  untilLog,
  untilPod,
} from "./running-cluster.ts";

const conditionsOf = (pod: StoredObject): Record<string, string> =>
  Object.fromEntries((pod.status.conditions ?? []).map((one: Json) => [one.type, one.status]));

describe("a pod that ends", () => {
  it("succeeds, with its message and output", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", {
      containers: [shell('echo out; echo err >&2; printf "%s" done > /dev/termination-log')],
    });
    const running = await untilPod(
      cluster.api,
      "a",
      ({ status }) => status?.startTime !== undefined,
    );
    expect(running.spec.nodeName).toBe("node-1");
    const pod = await untilPod(cluster.api, "a", phase("Succeeded"));
    expect(pod.status).toMatchObject({ qosClass: "BestEffort", hostIP: "127.0.0.1" });
    expect(containerOf(pod)).toMatchObject({
      ready: false,
      restartCount: 0,
      image: "sh",
      state: { terminated: { exitCode: 0, reason: "Completed", message: "done" } },
    });
    expect(conditionsOf(pod)).toMatchObject({
      PodScheduled: "True",
      Initialized: "True",
      Ready: "False",
    });
    expect(await logOf(cluster, "a")).toBe("out\nerr\n");
    expect(eventReasons(cluster.api, "a")).toEqual(["Scheduled", "Pulled", "Created", "Started"]);
  });

  it("fails with its exit code, and a message of 4096 bytes at most", async () => {
    const cluster = await openCluster();
    const script = "head -c 5000 /dev/zero | tr '\\0' x > /dev/termination-log; exit 3";
    createPod(cluster.api, "a", { containers: [shell(script)] });
    const { terminated } = containerOf(await untilPod(cluster.api, "a", phase("Failed"))).state;
    expect(terminated).toMatchObject({ exitCode: 3, reason: "Error" });
    expect(terminated.message).toBe("x".repeat(4096));
  });

  it("takes the end of the log for its message when the policy says so, after an error only", async () => {
    const cluster = await openCluster();
    const policy = { terminationMessagePolicy: "FallbackToLogsOnError" };
    createPod(cluster.api, "a", { containers: [shell("echo why; exit 1", policy)] });
    createPod(cluster.api, "b", { containers: [shell("echo fine", policy)] });
    const failed = await untilPod(cluster.api, "a", phase("Failed"));
    expect(containerOf(failed).state.terminated.message).toBe("why\n");
    const succeeded = await untilPod(cluster.api, "b", phase("Succeeded"));
    expect(containerOf(succeeded).state.terminated.message).toBeUndefined();
  });

  it("fails when one of its containers fails, after all have ended", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", {
      containers: [shell("exit 1", { name: "bad" }), shell(sleeper, { name: "good" })],
    });
    const half = await untilPod(
      cluster.api,
      "a",
      (pod) => containerOf(pod, "bad")?.state.terminated,
    );
    expect(half.status.phase).toBe("Running");
    cluster.node("node-1").killContainer(half, { container: "good", signal: "SIGTERM" });
    const pod = await untilPod(cluster.api, "a", phase("Failed"));
    expect(containerOf(pod, "good").state.terminated).toMatchObject({ exitCode: 143, signal: 15 });
  });

  it("says what killed it", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", { containers: [shell(`sleep 600 & echo $!; ${sleeper}`)] });
    const running = await untilPod(cluster.api, "a", phase("Running"));
    cluster.node("node-1").killContainer(running, { reason: "OOMKilled" });
    const pod = await untilPod(cluster.api, "a", phase("Failed"));
    expect(containerOf(pod).state.terminated).toMatchObject({ exitCode: 137, reason: "OOMKilled" });
    expect(() => cluster.node("node-1").killContainer(pod)).toThrow(
      expect.objectContaining({ code: "DM_CONTAINER_NOT_RUNNING" }),
    );
  });

  it("fails when its program is not there", async () => {
    const cluster = await openCluster();
    const container = {
      name: "main",
      image: "host",
      imagePullPolicy: "Never",
      command: ["/no/such"],
    };
    createPod(cluster.api, "a", { containers: [container] });
    const pod = await untilPod(cluster.api, "a", phase("Failed"));
    expect(containerOf(pod).state.terminated).toMatchObject({
      exitCode: 128,
      reason: "StartError",
      message: expect.stringContaining('"/no/such": executable file not found'),
    });
  });

  it("fails at its deadline", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", { activeDeadlineSeconds: 1, containers: [shell(sleeper)] });
    const pod = await untilPod(cluster.api, "a", phase("Failed"));
    expect(pod.status).toMatchObject({ reason: "DeadlineExceeded" });
    expect(containerOf(pod).state.terminated.exitCode).toBe(143);
  });
});

describe("init containers", () => {
  it("run one after the other before the rest", async () => {
    const cluster = await openCluster();
    const volumeMounts = [{ name: "work", mountPath: "/volume" }];
    createPod(cluster.api, "a", {
      volumes: [{ name: "work", emptyDir: {} }],
      initContainers: [
        shell("echo one >> /volume/list", { name: "one", volumeMounts }),
        shell("echo two >> /volume/list", { name: "two", volumeMounts }),
      ],
      containers: [shell("cat /volume/list", { volumeMounts })],
    });
    const pod = await untilPod(cluster.api, "a", phase("Succeeded"));
    expect(containerOf(pod, "two").state.terminated.reason).toBe("Completed");
    expect(await logOf(cluster, "a")).toBe("one\ntwo\n");
  });

  it("end a pod that may not restart", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", {
      initContainers: [shell("exit 7", { name: "init" })],
      containers: [shell("true")],
    });
    const pod = await untilPod(cluster.api, "a", phase("Failed"));
    expect(containerOf(pod, "init").state.terminated.exitCode).toBe(7);
    expect(containerOf(pod).state.waiting.reason).toBe("PodInitializing");
    expect(conditionsOf(pod)["Initialized"]).toBe("False");
  });
});

describe("restarts", () => {
  it("with Always go on for ever, slower and slower", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", {
      restartPolicy: "Always",
      containers: [shell("echo run; exit 1")],
    });
    const waiting = await untilPod(
      cluster.api,
      "a",
      (pod) => containerOf(pod)?.state.waiting?.reason === "CrashLoopBackOff",
    );
    expect(waiting.status.phase).toBe("Running");
    expect(containerOf(waiting)).toMatchObject({
      restartCount: expect.any(Number),
      lastState: { terminated: { exitCode: 1, reason: "Error" } },
      state: {
        waiting: {
          message: expect.stringMatching(/^back-off .* restarting failed container=main/),
        },
      },
    });
    await untilPod(cluster.api, "a", (pod) => containerOf(pod)?.restartCount >= 4);
    expect(await logOf(cluster, "a", true)).toBe("run\n");
    // The same thing said again is counted, not written again.
    const backOffs = cluster.api
      .list("events", "default")
      .filter((one) => one["reason"] === "BackOff");
    expect(backOffs).toHaveLength(1);
  });

  it("with OnFailure end with success", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", {
      restartPolicy: "OnFailure",
      volumes: [{ name: "work", emptyDir: {} }],
      containers: [
        shell("test -e /volume/second && exit 0; touch /volume/second; exit 1", {
          volumeMounts: [{ name: "work", mountPath: "/volume" }],
        }),
      ],
    });
    const pod = await untilPod(cluster.api, "a", phase("Succeeded"));
    expect(containerOf(pod).restartCount).toBe(1);
  });
});

describe("deletion", () => {
  it("asks first, writes the last status, then the object and the directory go", async () => {
    const cluster = await openCluster();
    const script =
      'trap "echo bye > /dev/termination-log; exit 0" TERM; echo up; while :; do sleep 0.02; done';
    const { metadata } = createPod(cluster.api, "a", { containers: [shell(script)] });
    await untilPod(cluster.api, "a", phase("Running"));
    const root = join(cluster.node("node-1").podsDirectory, metadata.uid);
    expect((await stat(root)).isDirectory()).toBe(true);
    // The trap is set when the first word is out.
    await untilLog(cluster, "a", "up");
    cluster.api.delete("pods", "default", "a");
    const last = await untilPod(cluster.api, "a", phase("Succeeded"));
    expect(last.metadata.deletionTimestamp).toBeDefined();
    expect(containerOf(last).state.terminated).toMatchObject({ exitCode: 0, message: "bye\n" });
    await untilGone(cluster.api, "a");
    expect(eventReasons(cluster.api, "a")).toContain("Killing");
    await cluster.close();
    await expect(stat(root)).rejects.toThrow("ENOENT");
  });

  it("kills what does not listen, children too", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", {
      terminationGracePeriodSeconds: 0,
      containers: [shell('trap "" TERM; sleep 600 & echo $!; while :; do sleep 0.02; done')],
    });
    const pod = await untilPod(cluster.api, "a", phase("Running"));
    const [container] = cluster.node("node-1").runtime.containers(pod.metadata.uid);
    let child = 0;
    while (!(child > 0)) child = Number(await logOf(cluster, "a"));
    cluster.api.delete("pods", "default", "a");
    const exit = await container?.exited;
    expect(exit).toMatchObject({ exitCode: 137, signal: 9 });
    expect(isAlive(container?.pid as number)).toBe(false);
    while (isAlive(child) && !(await isZombie(child))) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  });

  it("of a pod that never started needs nobody", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", { nodeSelector: { none: "x" }, containers: [shell(sleeper)] });
    cluster.api.delete("pods", "default", "a");
    expect(cluster.api.get("pods", "default", "a")).toBeUndefined();
  });

  it("of a pod that waits for a volume ends the waiting", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", {
      volumes: [{ name: "s", secret: { secretName: "none" } }],
      containers: [shell(sleeper)],
    });
    await untilPod(cluster.api, "a", ({ status }) => status?.containerStatuses !== undefined);
    cluster.api.delete("pods", "default", "a");
    await untilGone(cluster.api, "a");
  });

  it("lets another pod have the name at once", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", { containers: [shell(sleeper)] });
    const first = await untilPod(cluster.api, "a", phase("Running"));
    cluster.api.delete("pods", "default", "a", { gracePeriodSeconds: 0 });
    createPod(cluster.api, "a", { containers: [shell("echo second")] });
    const second = await untilPod(cluster.api, "a", phase("Succeeded"));
    expect(second.metadata.uid).not.toBe(first.metadata.uid);
    expect(await logOf(cluster, "a")).toBe("second\n");
  });
});

async function isZombie(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => ") Z");
  return text.slice(text.lastIndexOf(")") + 2).startsWith("Z");
}

describe("images", () => {
  it("that nobody has are tried again and again", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", { containers: [shell("true", { image: "nobody/has:1" })] });
    const reasons: string[] = [];
    await untilPod(cluster.api, "a", (pod) => {
      const reason = containerOf(pod)?.state.waiting?.reason;
      if (reason !== undefined && reason !== reasons.at(-1)) reasons.push(reason);
      return reasons.length >= 4;
    });
    expect(reasons.slice(0, 3)).toEqual(["ContainerCreating", "ErrImagePull", "ImagePullBackOff"]);
    expect(reasons[3]).toBe("ErrImagePull");
    expect(cluster.api.get("pods", "default", "a")?.status.phase).toBe("Pending");
  });

  it("that must be on the node and are not keep the pod waiting until they are", async () => {
    const cluster = await openCluster();
    cluster.node("node-1").images.remove("sh");
    createPod(cluster.api, "a", { containers: [shell("true", { imagePullPolicy: "Never" })] });
    const pod = await untilPod(
      cluster.api,
      "a",
      (one) => containerOf(one)?.state.waiting?.reason === "ErrImageNeverPull",
    );
    expect(containerOf(pod).state.waiting.message).toBe(
      'Container image "sh" is not present with pull policy of Never',
    );
    cluster.node("node-1").images.pull("sh");
    await untilPod(cluster.api, "a", phase("Succeeded"));
  });
});

describe("what a container refers to", () => {
  it("is waited for, and used as soon as it is there", async () => {
    const cluster = await openCluster({ times: { retryMs: 3_600_000 } });
    createPod(cluster.api, "a", {
      containers: [
        shell('echo "$PW"', {
          env: [{ name: "PW", valueFrom: { secretKeyRef: { name: "s", key: "pw" } } }],
        }),
      ],
    });
    const waiting = await untilPod(
      cluster.api,
      "a",
      (pod) => containerOf(pod)?.state.waiting?.reason === "CreateContainerConfigError",
    );
    expect(containerOf(waiting).state.waiting.message).toBe('secret "s" not found');
    cluster.api.create("secrets", {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "s", namespace: "default" },
      stringData: { pw: "x y" },
    });
    await untilPod(cluster.api, "a", phase("Succeeded"));
    expect(await logOf(cluster, "a")).toBe("x y\n");
  });
});

describe("the environment of a process", () => {
  it("has what the pod says and nothing of this process", async () => {
    process.env["DM_TEST_SECRET"] = "not for pods";
    const cluster = await openCluster({
      images: { node: { argv: [process.execPath], env: { FROM_IMAGE: "1" } } },
    });
    delete process.env["DM_TEST_SECRET"];
    createPod(cluster.api, "a", {
      volumes: [{ name: "v", emptyDir: {} }],
      containers: [
        {
          name: "main",
          image: "node",
          imagePullPolicy: "Never",
          args: [
            "-e",
            "console.log(JSON.stringify([process.env, process.cwd(), process.argv.slice(1)]))",
            "--",
            "--path=/v/x",
            "$(POD_IP)",
          ],
          workingDir: "/v",
          volumeMounts: [{ name: "v", mountPath: "/v" }],
          env: [
            { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
            { name: "WHERE", value: "/v/y" },
          ],
        },
      ],
    });
    const pod = await untilPod(cluster.api, "a", phase("Succeeded"));
    const [env, cwd, args] = JSON.parse(await logOf(cluster, "a"));
    const volume = join(
      cluster.node("node-1").podsDirectory,
      pod.metadata.uid,
      "volumes/kubernetes.io~empty-dir/v",
    );
    expect(cwd).toBe(volume);
    expect(args).toEqual([`--path=${volume}/x`, pod.status.podIP]);
    expect(env).toMatchObject({
      FROM_IMAGE: "1",
      HOSTNAME: "a",
      POD_IP: pod.status.podIP,
      WHERE: `${volume}/y`,
      KUBECONFIG: expect.any(String),
    });
    expect(Object.keys(env).sort()).toEqual([
      "FROM_IMAGE",
      "HOME",
      "HOSTNAME",
      "KUBECONFIG",
      "KUBERNETES_SERVICE_HOST",
      "KUBERNETES_SERVICE_PORT",
      "PATH",
      "POD_IP",
      "TMPDIR",
      "WHERE",
    ]);
  });
});

it("lets a command take the place of an image's own program only when the image says so", async () => {
  const cluster = await openCluster({
    images: { fixed: ["echo", "own"], real: { argv: ["echo", "own"], isEntrypoint: true } },
  });
  const cases = {
    a: { image: "fixed", command: ["echo", "given"] },
    b: { image: "real", command: ["echo", "given"] },
    c: { image: "real", args: ["more"] },
  };
  for (const [name, container] of Object.entries(cases)) {
    createPod(cluster.api, name, {
      containers: [{ name: "main", imagePullPolicy: "Never", ...container }],
    });
    await untilPod(cluster.api, name, phase("Succeeded"));
  }
  expect(await logOf(cluster, "a")).toBe("own echo given\n");
  expect(await logOf(cluster, "b")).toBe("given\n");
  expect(await logOf(cluster, "c")).toBe("own more\n");
});

describe("faults", () => {
  it("let a container not start, with the reason that the test wants, until they are over", async () => {
    const cluster = await openCluster();
    const node = cluster.node("node-1");
    const message = "relabel failed /x: lsetxattr /x/y: no space left on device";
    const heal = node.addStartFault(({ metadata }) =>
      metadata.name === "a" ? { reason: "CreateContainerError", message } : undefined,
    );
    createPod(cluster.api, "a", { containers: [shell("true")] });
    createPod(cluster.api, "b", { containers: [shell("true")] });
    const pod = await untilPod(
      cluster.api,
      "a",
      (one) => containerOf(one)?.state.waiting?.reason === "CreateContainerError",
    );
    expect(pod.status.phase).toBe("Pending");
    expect(containerOf(pod).state.waiting.message).toBe(message);
    const events = cluster.api.list("events").filter((one) => one["reason"] === "Failed");
    expect(events).toMatchObject([{ type: "Warning", message: `Error: ${message}` }]);
    await untilPod(cluster.api, "b", phase("Succeeded"));
    heal();
    await untilPod(cluster.api, "a", phase("Succeeded"));
  });

  it("let a pod hang in ContainerCreating", async () => {
    const cluster = await openCluster();
    const heal = cluster.node("node-1").addStartFault(() => "hang");
    createPod(cluster.api, "a", { containers: [shell("true")] });
    const pod = await untilPod(cluster.api, "a", (one) => containerOf(one) !== undefined);
    expect(containerOf(pod).state.waiting.reason).toBe("ContainerCreating");
    heal();
    await untilPod(cluster.api, "a", phase("Succeeded"));
  });
});

it("keeps logs of deleted pods when told to", async () => {
  const cluster = await openCluster({ keepPodLogs: true });
  const { metadata } = createPod(cluster.api, "a", { containers: [shell("echo kept")] });
  await untilPod(cluster.api, "a", phase("Succeeded"));
  cluster.api.delete("pods", "default", "a");
  await untilGone(cluster.api, "a");
  const logs = cluster.node("node-1").hostPath("/var/log/pods");
  expect(await readdir(logs)).toEqual([`default_a_${metadata.uid}`]);
});

it("says what goes wrong for an hour in a few events, with counts", async () => {
  const clock = virtualClock(Date.parse("2026-01-02T03:04:05Z"));
  const cluster = await openCluster({ clock, times: defaultKubeletTimes });
  createPod(cluster.api, "mount", {
    volumes: [{ name: "s", secret: { secretName: "none" } }],
    containers: [shell(sleeper)],
  });
  createPod(cluster.api, "pull", { containers: [shell("true", { image: "nobody/has:1" })] });
  // The disk takes real time, which must not pass as virtual time.
  for (const reason of ["ErrImagePull", "ImagePullBackOff"]) {
    await untilPod(
      cluster.api,
      "pull",
      (pod) => containerOf(pod)?.state.waiting?.reason === reason,
    );
  }
  await until(cluster.api, "events", (event) => event["reason"] === "FailedMount");
  await clock.advance(3_600_000);
  const counts = (name: string): Record<string, number> =>
    Object.fromEntries(
      cluster.api
        .list("events", "default")
        .filter((one) => one["involvedObject"].name === name)
        .map((one) => [`${one["reason"]}: ${one["message"].split(" ")[0]}`, one["count"]]),
    );
  // 0.5 s, doubled to 122 s, again and again.
  expect(counts("mount")).toEqual({
    "Scheduled: Successfully": 1,
    "FailedMount: MountVolume.SetUp": 37,
  });
  // 10 s, doubled to 5 minutes.
  expect(counts("pull")).toEqual({
    "Scheduled: Successfully": 1,
    "Pulling: Pulling": 16,
    "Failed: Failed": 16,
    "Failed: Error:": 16,
    "BackOff: Back-off": 16,
  });
});
