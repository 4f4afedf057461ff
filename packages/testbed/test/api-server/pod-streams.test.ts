// Logs and commands reach whoever stands for the kubelets, over HTTP and WebSocket, with real clients on the other side.
import { PassThrough, Writable } from "node:stream";
import { Exec, KubeConfig, Log } from "@kubernetes/client-node";
import { afterEach, beforeEach, expect, it } from "vitest";
import {
  ApiError,
  type ApiServer,
  createApiServer,
  type ExecOptions,
  type LogOptions,
  type PodStreams,
  type PodTarget,
} from "../../src/index.ts";

let server: ApiServer;
let asked: { target: PodTarget; options: LogOptions | ExecOptions }[] = [];

const echo: PodStreams = {
  async *log(target, options) {
    asked.push({ target, options });
    if (options.previous) throw new ApiError(400, "BadRequest", "there is no previous one");
    yield "first\n";
    yield Buffer.from("second\n");
  },
  async exec(target, options) {
    asked.push({ target, options });
    const { stdin, stdout, stderr, command } = options;
    if (command[0] === "missing") return { error: "no such program" };
    let length = 0;
    for await (const chunk of stdin ?? []) {
      length += chunk.length;
      stdout?.write(chunk);
    }
    stderr?.write(`${length} bytes`);
    return { exitCode: Number(command[1] ?? 0) };
  },
};

function config(): KubeConfig {
  const config = new KubeConfig();
  config.loadFromOptions({
    clusters: [
      {
        name: "c",
        server: server.url,
        caData: Buffer.from(server.cluster.certificateAuthority ?? "").toString("base64"),
      },
    ],
    users: [{ name: "u", token: server.adminToken }],
    contexts: [{ name: "x", cluster: "c", user: "u" }],
    currentContext: "x",
  });
  return config;
}

beforeEach(async () => {
  asked = [];
  server = await createApiServer({ podStreams: echo });
  server.cluster.create("pods", {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "default" },
    spec: { nodeName: "n", containers: [{ name: "main", image: "i" }] },
  });
});

afterEach(() => server.close());

function collector(): { stream: Writable; text: () => string } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk, _encoding, callback) {
      chunks.push(chunk);
      callback();
    },
  });
  return { stream, text: () => Buffer.concat(chunks).toString() };
}

it("sends a log", async () => {
  const out = new PassThrough();
  await new Log(config()).log("default", "p", "main", out, { tailLines: 5, follow: true });
  let text = "";
  for await (const chunk of out) text += chunk;
  expect(text).toBe("first\nsecond\n");
  expect(asked).toMatchObject([
    {
      target: { namespace: "default", name: "p", nodeName: "n", container: "main" },
      options: { tailLines: 5, follow: true, previous: false },
    },
  ]);
});

it.each([true, false])("refuses a log before it has begun, follow: %s", async (follow) => {
  const out = new PassThrough();
  const log = new Log(config()).log("default", "p", "main", out, { previous: true, follow });
  await expect(log).rejects.toMatchObject({ code: 400 });
});

it.each([
  [0, { status: "Success" }],
  [3, { status: "Failure", reason: "NonZeroExitCode" }],
])("runs a command that ends with %i", async (exitCode, expected) => {
  const [out, err] = [collector(), collector()];
  const stdin = new PassThrough();
  // Longer than a frame, and than the buffers on the way.
  stdin.end("x".repeat(300_000));
  const status = await new Promise((resolve, reject) => {
    new Exec(config())
      .exec(
        "default",
        "p",
        "main",
        ["copy", String(exitCode)],
        out.stream,
        err.stream,
        stdin,
        false,
        resolve,
      )
      .catch(reject);
  });
  expect(status).toMatchObject(expected);
  expect(out.text()).toHaveLength(300_000);
  expect(err.text()).toBe("300000 bytes");
});

it("says why a command does not start", async () => {
  const status = await new Promise((resolve, reject) => {
    const out = collector().stream;
    new Exec(config())
      .exec("default", "p", "main", ["missing"], out, null, null, false, resolve)
      .catch(reject);
  });
  expect(status).toMatchObject({ status: "Failure", message: "no such program" });
});
