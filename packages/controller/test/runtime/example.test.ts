/** The controller of the README, which is the file beside this one, run as a program of its own against the embedded API server. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createApiServer } from "@dm/testbed";
import { expect, it, onTestFinished } from "vitest";

const folder = join(import.meta.dirname, "../..");
const example = fileURLToPath(import.meta.resolve("./twin-controller.ts"));

it("is the one that the README shows", async () => {
  const readme = await readFile(join(folder, "README.md"), "utf8");
  expect(readme).toContain(`\`\`\`typescript\n${await readFile(example, "utf8")}\`\`\``);
});

it("keeps twins of ConfigMaps, and ends when asked to", async () => {
  const server = await createApiServer();
  const scratch = await mkdtemp(join(folder, ".vitest-example-"));
  let child: ChildProcess | undefined;
  onTestFinished(async () => {
    child?.kill("SIGKILL");
    await server.close();
    await rm(scratch, { recursive: true });
  });
  const kubeconfig = join(scratch, "kubeconfig");
  await server.kubeconfig(kubeconfig);
  // Any free port, as several of these may run at once.
  const program = join(scratch, "controller.ts");
  await writeFile(program, (await readFile(example, "utf8")).replace("port: 8085", "port: 0"));
  const { cluster } = server;
  const twin = () => cluster.get("configmaps", "default", "a-twin");
  const create = (name: string, labels = {}) =>
    cluster.create("configmaps", {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name, namespace: "default", labels },
      data: { value: "1" },
    });
  create("a", { twin: "wanted" });
  create("b");
  const errors: string[] = [];
  child = spawn(process.execPath, ["--conditions=@dm/source", program], {
    env: { ...process.env, KUBECONFIG: kubeconfig },
    stdio: ["ignore", "inherit", "pipe"],
  });
  child.stderr?.on("data", (chunk: Buffer) => errors.push(chunk.toString()));
  const ended = once(child, "exit");
  const wait = { timeout: 30_000 };
  await expect.poll(() => twin()?.["data"], wait).toEqual({ value: "1" });
  cluster.modify("configmaps", "default", "a", (object) => {
    object["data"] = { value: "2" };
  });
  await expect.poll(() => twin()?.["data"], wait).toEqual({ value: "2" });
  const { uid } = twin()!.metadata;
  cluster.delete("configmaps", "default", "a-twin");
  await expect.poll(() => twin()?.metadata.uid ?? uid, wait).not.toBe(uid);
  expect(twin()?.metadata.ownerReferences).toMatchObject([{ kind: "ConfigMap", name: "a" }]);
  expect(cluster.get("configmaps", "default", "b-twin")).toBeUndefined();
  child.kill("SIGTERM");
  const [code] = (await ended) as [number | null];
  expect(code, errors.join("")).toBe(0);
  const lease = cluster.get("leases.coordination.k8s.io", "default", "twins");
  expect(lease?.["spec"]).toMatchObject({ holderIdentity: "" });
});
