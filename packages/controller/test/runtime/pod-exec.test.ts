/** Commands in containers, over HTTPS and WebSocket to the embedded API server. */
import { type ApiServer, createApiServer, type ExecOptions, type PodTarget } from "@dm/testbed";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type NodeKubeClient, nodeKubeClient } from "../../src/runtime/node-client.ts";

let server: ApiServer;
let client: NodeKubeClient;
let asked: { readonly target: PodTarget; readonly options: ExecOptions }[] = [];

beforeEach(async () => {
  asked = [];
  server = await createApiServer({
    podStreams: {
      async *log() {},
      async exec(target, options) {
        asked.push({ target, options });
        const { command, signal, stderr, stdout } = options;
        if (command[0] === "missing") return { error: "no such program" };
        if (command[0] === "hang")
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
        if (command[0] === "flood")
          for (let part = 0; part < 40; part++)
            await new Promise((resolve) => stdout?.write(Buffer.alloc(64 << 10, 120), resolve));
        stdout?.write("frozen");
        stderr?.write("é");
        return { exitCode: Number(command[1] ?? 0) };
      },
    },
  });
  server.cluster.create("namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "shop" },
  });
  server.cluster.create("pods", {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "db", namespace: "shop" },
    spec: { nodeName: "n", containers: ["main", "side"].map((name) => ({ name, image: "i" })) },
  });
  client = nodeKubeClient({
    server: {
      url: server.url,
      token: server.adminToken,
      certificateAuthority: server.cluster.certificateAuthority,
    },
  });
});
afterEach(async () => {
  client.close();
  await server.close();
});

const pod = { namespace: "shop", name: "db" };
const run = (command: string[], more: object = {}) =>
  client.exec(pod, { container: "side", command, timeoutMs: 20_000, ...more });

it("gives the exit code and both outputs, and sends the arguments as they are", async () => {
  expect(await run(["fsfreeze", "0", "a b&c=d"])).toEqual({
    exitCode: 0,
    stdout: "frozen",
    stderr: "é",
  });
  expect(asked[0]?.target.container).toBe("side");
  expect(asked[0]?.options.command).toEqual(["fsfreeze", "0", "a b&c=d"]);
  expect(await run(["fsfreeze", "3"])).toMatchObject({ exitCode: 3 });
});

it("keeps the first 64 KiB of what a command says", async () => {
  const { exitCode, stdout } = await run(["flood"]);
  expect([exitCode, stdout.length]).toEqual([0, 64 << 10]);
});

it("a command that does not end is given up in time, and ended", async () => {
  await expect(run(["hang"], { timeoutMs: 300 })).rejects.toMatchObject({
    code: "DM_EXEC_TIMEOUT",
    message: "exec in pods shop/db: not ended within 300 ms",
  });
  const signal = asked[0]?.options.signal;
  if (!signal?.aborted)
    await new Promise((resolve) => signal?.addEventListener("abort", resolve, { once: true }));
});

it("stops when it is told to", async () => {
  const stop = new AbortController();
  const running = run(["hang"], { signal: stop.signal });
  stop.abort(new Error("enough"));
  await expect(running).rejects.toThrow("enough");
});

it("says why a command was not run", async () => {
  await expect(run(["missing"])).rejects.toMatchObject({
    code: "DM_EXEC_FAILED",
    message: "exec in pods shop/db: no such program",
  });
  await expect(run(["x"], { container: "none" })).rejects.toMatchObject({
    code: "DM_KUBE_INVALID",
    message: expect.stringContaining("container none is not valid"),
  });
  await expect(
    client.exec({ ...pod, name: "gone" }, { container: "a", command: ["x"], timeoutMs: 9_000 }),
  ).rejects.toMatchObject({ code: "DM_KUBE_NOT_FOUND" });
});
