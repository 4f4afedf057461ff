// `kubectl exec` runs commands in containers: input, both outputs, exit codes, the container's own paths.
import { requirePeer } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import {
  createPod,
  kubectl,
  openCluster,
  phase,
  shell,
  sleeper,
  untilPod,
} from "./running-cluster.ts";

const peer = requirePeer("kubectl");

describe.skipIf(!peer.available)(peer.title("kubectl exec"), () => {
  it("gives outputs, exit code, input and paths", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", {
      volumes: [{ name: "v", emptyDir: {} }],
      containers: [
        shell(sleeper, {
          volumeMounts: [{ name: "v", mountPath: "/data" }],
          env: [{ name: "GREETING", value: "hello" }],
        }),
      ],
    });
    await untilPod(cluster.api, "a", phase("Running"));
    const exec = (args: readonly string[], input?: string) =>
      kubectl(
        peer.path,
        cluster,
        ["exec", ...(input === undefined ? [] : ["-i"]), "a", "--", ...args],
        input,
      );

    expect(await exec(["/bin/sh", "-c", 'echo "$GREETING"; echo oops >&2'])).toEqual({
      code: 0,
      stdout: "hello\n",
      stderr: "oops\n",
    });
    expect(await exec(["tee", "/data/file"], "some\ntext")).toMatchObject({
      code: 0,
      stdout: "some\ntext",
    });
    expect((await exec(["cat", "/data/file"])).stdout).toBe("some\ntext");
    expect(await exec(["/bin/sh", "-c", "exit 7"])).toMatchObject({
      code: 7,
      stderr: expect.stringContaining("command terminated with exit code 7"),
    });
    const missing = await exec(["no-such-program"]);
    expect(missing.code).not.toBe(0);
    expect(missing.stderr).toContain("no-such-program");
  });

  it("is refused where nothing runs", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", { containers: [shell("true")] });
    await untilPod(cluster.api, "a", phase("Succeeded"));
    const { code, stderr } = await kubectl(peer.path, cluster, ["exec", "a", "--", "true"]);
    expect(code).toBe(1);
    expect(stderr).not.toBe("");
  });

  it("carries much in both directions", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", { containers: [shell(sleeper)] });
    await untilPod(cluster.api, "a", phase("Running"));
    const text = `${"0123456789abcde\n".repeat(1 << 16)}`;
    const { code, stdout } = await kubectl(
      peer.path,
      cluster,
      ["exec", "-i", "a", "--", "cat"],
      text,
    );
    expect(code).toBe(0);
    expect(stdout.length).toBe(text.length);
    expect(stdout === text).toBe(true);
  });
});
