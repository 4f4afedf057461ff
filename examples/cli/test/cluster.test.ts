/** Commands that ask a cluster: which one, in which namespace, and what they leave when it does not answer. The answers are in examples/controller. */
import { existsSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Home } from "./run.ts";

/** Knows one namespace, and nothing in it. */
let server: Server;
const asked: string[] = [];
beforeAll(async () => {
  server = createServer((request, response) => {
    const path = (request.url ?? "").split("?")[0] ?? "";
    asked.push(path);
    const name = path.split("/").at(-1) ?? "";
    const isThere = path === "/api/v1/namespaces/velero";
    const body = isThere
      ? { kind: "Namespace", apiVersion: "v1", metadata: { name } }
      : {
          kind: "Status",
          status: "Failure",
          reason: "NotFound",
          code: 404,
          message: `things "${name}" not found`,
        };
    response.writeHead(isThere ? 200 : 404, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

const home = new Home();
afterAll(() => home[Symbol.dispose]());

function kubeconfig(namespace?: string): string {
  const path = home.path(`kubeconfig-${namespace ?? "none"}`);
  const { port } = server.address() as AddressInfo;
  const context = { cluster: "c", user: "u", ...(namespace && { namespace }) };
  const config = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": "x",
    contexts: [{ name: "x", context }],
    clusters: [
      {
        name: "c",
        cluster: { server: `http://127.0.0.1:${port}`, "insecure-skip-tls-verify": true },
      },
    ],
    users: [{ name: "u", user: {} }],
  };
  writeFileSync(path, JSON.stringify(config));
  return path;
}

const why = (...args: readonly string[]) => home.run(["why", "backup/nightly", ...args]);

describe("the namespace", () => {
  it.each([
    ["that of the flag", "mine", ["--namespace", "given"], "given"],
    ["that of the kubeconfig", "mine", [], "mine"],
    ["a usual one that is there", undefined, [], "velero"],
    ["a usual one, for nobody works in the default one", "default", [], "velero"],
  ] as const)("is %s", async (_what, own, flags, wanted) => {
    const outcome = await why("--kubeconfig", kubeconfig(own), ...flags);
    expect(outcome).toMatchObject({ code: 0, err: "" });
    expect(outcome.out).toContain(`Backup ${wanted}/nightly is not there`);
  });
});

describe("dm why", () => {
  it("answers in JSON, too", async () => {
    const { out } = await why("--kubeconfig", kubeconfig("mine"), "--json");
    expect(JSON.parse(out)).toMatchObject({ verdict: "absent", subject: "Backup mine/nightly" });
    expect(out.endsWith("}\n")).toBe(true);
  });

  it("is told what it knows, before anybody is asked", async () => {
    asked.length = 0;
    const outcome = await home.run(["why", "pod/x", "--kubeconfig", kubeconfig()]);
    expect(outcome).toMatchObject({ code: 2, out: "" });
    expect(outcome.err).toContain("kinds: Backup, Restore, DataUpload");
    expect(asked).toEqual([]);
  });

  it("fails without a cluster", async () => {
    const outcome = await why("--kubeconfig", home.path("nowhere"));
    expect(outcome).toMatchObject({ code: 1, out: "" });
    expect(outcome.err).toContain("DM_KUBE_CONFIG");
  });
});

describe("dm must-gather", () => {
  const output = home.path("found.tar");

  it("leaves nothing when there is no cluster", async () => {
    const flags = ["--kubeconfig", home.path("nowhere"), "--output", output];
    expect(await home.run(["must-gather", ...flags])).toMatchObject({ code: 1, out: "" });
    expect(existsSync(output)).toBe(false);
  });

  it("writes to standard output, with what could not be read", async () => {
    const flags = ["--kubeconfig", kubeconfig("mine"), "--output", "-"];
    const { bytes, code } = await home.run(["must-gather", ...flags]);
    expect(code).toBe(0);
    // Tar: blocks of 512 bytes, two empty ones at the end.
    expect(bytes.length % 512).toBe(0);
    expect(Buffer.from(bytes).toString()).toContain("## Not collected");
  });
});
