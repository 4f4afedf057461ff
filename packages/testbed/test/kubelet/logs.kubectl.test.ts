// `kubectl logs` prints what containers printed: whole, the end of it, the run before, and what is still to come.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "@dm/core";
import { requirePeer } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import { readLog } from "../../src/kubelet/pod-logs.ts";
import {
  containerOf,
  createPod,
  kubectl,
  openCluster,
  phase,
  shell,
  sleeper,
  untilPod,
} from "./running-cluster.ts";

const peer = requirePeer("kubectl");

const options = {
  follow: false,
  previous: false,
  timestamps: false,
  tailLines: undefined,
  limitBytes: undefined,
  sinceSeconds: undefined,
  sinceTime: undefined,
  signal: new AbortController().signal,
};

describe("a log file", () => {
  const read = async (text: string, extra: object): Promise<string> => {
    const { mkdtemp, rm, writeFile } = await import("node:fs/promises");
    const { tmpdir } = await import("node:os");
    const directory = await mkdtemp(join(tmpdir(), "dm-log-"));
    try {
      await writeFile(join(directory, "0.log"), text);
      let result = "";
      const log = readLog(
        join(directory, "0.log"),
        { ...options, ...extra },
        systemClock,
        undefined,
      );
      for await (const chunk of log) result += Buffer.from(chunk).toString();
      return result;
    } finally {
      await rm(directory, { recursive: true });
    }
  };
  const long = Array.from({ length: 30_000 }, (_, index) => `line ${index}\n`).join("");

  it.each<[string, string, object, string]>([
    ["all of it", "a\nb\n", {}, "a\nb\n"],
    ["nothing", "", { tailLines: 5 }, ""],
    ["the last line", "a\nb\n", { tailLines: 1 }, "b\n"],
    ["a last line without an end", "a\nb", { tailLines: 1 }, "b"],
    ["no line", "a\nb\n", { tailLines: 0 }, ""],
    ["more lines than there are", "a\nb\n", { tailLines: 9 }, "a\nb\n"],
    ["empty lines too", "a\n\n\n", { tailLines: 2 }, "\n\n"],
    ["so many bytes", "abcdef", { limitBytes: 3 }, "abc"],
    ["what is young enough", "a\n", { sinceSeconds: 60 }, "a\n"],
    ["nothing that is too old", "a\n", { sinceTime: "2999-01-01T00:00:00Z" }, ""],
    ["the end of a long one", long, { tailLines: 2 }, "line 29998\nline 29999\n"],
    ["a long end of a long one", long, { tailLines: 29_999 }, long.slice("line 0\n".length)],
  ])("gives %s", async (_title, text, extra, expected) => {
    expect(await read(text, extra)).toBe(expected);
  });

  it("has no times to give", async () => {
    await expect(read("a\n", { timestamps: true })).rejects.toMatchObject({ status: 400 });
  });
});

describe.skipIf(!peer.available)(peer.title("kubectl logs"), () => {
  it("prints the log of a pod, of a container, and the end of it", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", {
      containers: [shell("seq 1 5"), shell("echo other", { name: "second" })],
    });
    await untilPod(cluster.api, "a", phase("Succeeded"));
    expect(await kubectl(peer.path, cluster, ["logs", "a", "-c", "main"])).toEqual({
      code: 0,
      stdout: "1\n2\n3\n4\n5\n",
      stderr: "",
    });
    expect(
      (await kubectl(peer.path, cluster, ["logs", "a", "-c", "main", "--tail=2"])).stdout,
    ).toBe("4\n5\n");
    expect(
      (await kubectl(peer.path, cluster, ["logs", "-l", "app=a", "--all-containers", "--prefix"]))
        .stdout,
    ).toContain("[pod/a/second] other\n");
  });

  it("follows until the container ends", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", {
      volumes: [{ name: "v", emptyDir: {} }],
      containers: [
        shell("echo first; while [ ! -e /v/go ]; do sleep 0.01; done; echo last", {
          volumeMounts: [{ name: "v", mountPath: "/v" }],
        }),
      ],
    });
    const pod = await untilPod(cluster.api, "a", phase("Running"));
    const followed = kubectl(peer.path, cluster, ["logs", "-f", "a"]);
    const { writeFile } = await import("node:fs/promises");
    const root = join(cluster.node("node-1").podsDirectory, pod.metadata.uid);
    await writeFile(join(root, "volumes/kubernetes.io~empty-dir/v/go"), "");
    expect(await followed).toEqual({ code: 0, stdout: "first\nlast\n", stderr: "" });
    const files = join(
      cluster.node("node-1").root,
      "var/log/pods",
      `default_a_${pod.metadata.uid}`,
    );
    expect(await readFile(join(files, "main/0.log"), "utf8")).toBe("first\nlast\n");
  });

  it("prints the run before", async () => {
    const cluster = await openCluster({ times: { restartMs: 600_000, longestRestartMs: 600_000 } });
    createPod(cluster.api, "a", {
      restartPolicy: "Always",
      volumes: [{ name: "v", emptyDir: {} }],
      containers: [
        shell(`test -e /v/x || { touch /v/x; echo one; exit 1; }; echo two; ${sleeper}`, {
          volumeMounts: [{ name: "v", mountPath: "/v" }],
        }),
      ],
    });
    const none = await kubectl(peer.path, cluster, ["logs", "a", "--previous"]);
    await untilPod(cluster.api, "a", (pod) => containerOf(pod)?.restartCount === 1);
    expect((await kubectl(peer.path, cluster, ["logs", "a", "--previous"])).stdout).toBe("one\n");
    if (none.code !== 0)
      expect(none.stderr).toMatch(/not found|waiting to start|ContainerCreating/);
  });

  it("says that a container waits to start", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", { containers: [shell("true", { image: "nobody/has:1" })] });
    await untilPod(
      cluster.api,
      "a",
      (pod) => containerOf(pod)?.state.waiting?.reason === "ImagePullBackOff",
    );
    const { code, stderr } = await kubectl(peer.path, cluster, ["logs", "a"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/container "main" in pod "a" is waiting to start: /);
  });
});
