// The real kubectl does its work on the server as on any cluster: every command of the list that this testbed promises.
import { chmod, readdir, realpath, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { requirePeer } from "@dm/fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ApiServer, createApiServer, type Json, type PodStreams } from "../../src/index.ts";
import { gadget, gadgetDefinition } from "./gadgets.ts";
import { type Kubectl, openKubectl } from "./kubectl.ts";

const peer = requirePeer("kubectl");

/** `kubectl.1.27` and so on beside the program, where there are several. */
const versions: string[] = [];
if (peer.available) {
  const folder = dirname(await realpath(peer.path));
  for (const name of (await readdir(folder)).sort()) {
    if (/^kubectl\.1\.\d+$/.test(name)) versions.push(join(folder, name));
  }
}

// The launcher that chooses a version asks the server first, each time.
const program = versions.at(-1) ?? peer.path;

/** All with DM_FULL=1; else the oldest one and one in the middle. */
const sample = process.env["DM_FULL"]
  ? versions
  : versions.filter((_, index) => index === 0 || index === versions.length >> 1);

const streams: PodStreams = {
  async *log() {
    yield "a line\n";
  },
  async exec(_target, { command, stdin, stdout }) {
    for await (const chunk of stdin ?? []) stdout?.write(chunk);
    stdout?.write(`${command.join(" ")}\n`);
    return { exitCode: command[0] === "false" ? 7 : 0 };
  },
};

const manifests = JSON.stringify({
  apiVersion: "v1",
  kind: "List",
  items: [
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p", namespace: "default", labels: { app: "x" } },
      spec: { nodeName: "n", containers: [{ name: "main", image: "image:1", env: [] }] },
    },
    {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "c", namespace: "default" },
      spec: {
        accessModes: ["ReadWriteOnce"],
        resources: { requests: { storage: "1Gi" } },
        storageClassName: "fast",
      },
    },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "d", namespace: "default" },
      spec: {
        selector: { matchLabels: { app: "d" } },
        template: {
          metadata: { labels: { app: "d" } },
          spec: { containers: [{ name: "main", image: "image:1" }] },
        },
      },
    },
    {
      apiVersion: "storage.k8s.io/v1",
      kind: "StorageClass",
      metadata: {
        name: "fast",
        annotations: { "storageclass.kubernetes.io/is-default-class": "true" },
      },
      provisioner: "csi.example.com",
    },
  ],
});

async function openServer(): Promise<ApiServer> {
  const server = await createApiServer({ podStreams: streams });
  server.cluster.create("customresourcedefinitions.apiextensions.k8s.io", gadgetDefinition);
  return server;
}

describe.skipIf(!peer.available)(peer.title("kubectl"), () => {
  let server: ApiServer;
  let kubectl: Kubectl;

  beforeAll(async () => {
    server = await openServer();
    kubectl = await openKubectl(server, program);
    await kubectl.ok("apply -f -", { input: manifests });
  });

  afterAll(async () => {
    await kubectl?.close();
    await server?.close();
  });

  const gadgetText = (name: string, spec?: Record<string, unknown>): string =>
    JSON.stringify(gadget(name, spec));
  const header = (table: string): string =>
    (table.split("\n")[0] ?? "").replace(/\s{2,}/g, "|").trim();

  it("apply: creates, says unchanged, configures", async () => {
    expect(await kubectl.ok("apply -f -", { input: gadgetText("a") })).toBe(
      "gadget.example.com/a created\n",
    );
    expect(await kubectl.ok("apply -f -", { input: gadgetText("a") })).toBe(
      "gadget.example.com/a unchanged\n",
    );
    const changed = gadgetText("a", { mode: "slow" });
    expect((await kubectl.run(["diff", "-f", "-"], { input: changed })).stdout).toContain(
      "-  mode: fast",
    );
    expect(await kubectl.ok("apply -f -", { input: changed })).toBe(
      "gadget.example.com/a configured\n",
    );
    expect(await kubectl.ok("apply -f -", { input: manifests })).toContain("pod/p unchanged");
    expect(server.cluster.get("gadgets.example.com", "default", "a")?.spec).toEqual({
      mode: "slow",
      size: 3,
    });
  });

  it("apply --server-side, also after a client-side apply, and with a conflict", async () => {
    const text = gadgetText("s", { mode: "slow", size: 4 });
    await kubectl.ok("apply -f -", { input: text });
    expect(await kubectl.ok("apply --server-side -f -", { input: text })).toBe(
      "gadget.example.com/s serverside-applied\n",
    );
    const other = gadgetText("s", { mode: "fast" });
    const args = ["apply", "--server-side", "--field-manager=other", "-f", "-"];
    const refused = await kubectl.run(args, { input: other });
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain('conflict with "kubectl": .spec.mode');
    await kubectl.ok("apply --server-side --field-manager=other --force-conflicts -f -", {
      input: other,
    });
    expect(server.cluster.get("gadgets.example.com", "default", "s")?.spec.mode).toBe("fast");
  });

  it("create: imperative and from a file, refusals with their words", async () => {
    expect(await kubectl.ok("create namespace n1")).toBe("namespace/n1 created\n");
    expect(await kubectl.ok("create configmap cm -n n1 --from-literal=a=b")).toContain("created");
    expect(await kubectl.ok("create secret generic s -n n1 --from-literal=a=b")).toContain(
      "created",
    );
    expect(server.cluster.get("secrets", "n1", "s")?.["data"]).toEqual({ a: "Yg==" });
    await kubectl.ok("create deployment web -n n1 --image=image:1 --replicas=2");
    await kubectl.ok("create job once -n n1 --image=image:1 -- true");
    expect(server.cluster.get("deployments.apps", "n1", "web")?.spec.replicas).toBe(2);
    const again = await kubectl.run(["create", "namespace", "n1"]);
    expect(again.stderr).toBe(
      'Error from server (AlreadyExists): namespaces "n1" already exists\n',
    );
    const unknown = await kubectl.run(["create", "-f", "-"], {
      input: gadgetText("u", { mode: "fast", zork: 1 }),
    });
    expect(unknown.stderr).toContain('strict decoding error: unknown field "spec.zork"');
    const wrong = await kubectl.run(["create", "-f", "-"], {
      input: gadgetText("w", { mode: "odd" }),
    });
    expect(wrong.stderr).toContain(
      'The Gadget "w" is invalid: spec.mode: Unsupported value: "odd": supported values: "slow", "fast"',
    );
    const ignored = { input: gadgetText("u", { mode: "fast", zork: 1 }) };
    await kubectl.ok("create --validate=ignore -f -", ignored);
    expect(server.cluster.get("gadgets.example.com", "default", "u")?.spec.zork).toBeUndefined();
  });

  it("get: columns, wide, yaml, json, jsonpath, name, selectors", async () => {
    await kubectl.ok("apply -f -", { input: gadgetText("g") });
    expect(header(await kubectl.ok("get gadgets"))).toBe("NAME|MODE|READY|AGE");
    expect(header(await kubectl.ok("get gd -A -o wide"))).toBe(
      "NAMESPACE|NAME|MODE|SIZE|READY|AGE",
    );
    expect(await kubectl.ok("get gd g -o yaml")).toMatch(
      /^apiVersion: example.com\/v1\nkind: Gadget\n/,
    );
    expect(JSON.parse(await kubectl.ok("get gd g -o json")).spec.size).toBe(3);
    expect(await kubectl.ok("get gd g -o 'jsonpath={.spec.mode}'")).toBe("fast");
    expect(await kubectl.ok("get gd g -o name")).toBe("gadget.example.com/g\n");
    await kubectl.ok("label gd g team=red");
    expect(await kubectl.ok("get gd -l team=red -o name")).toBe("gadget.example.com/g\n");
    expect(await kubectl.ok("get gd -l 'team in (blue,red),!other' -o name")).toBe(
      "gadget.example.com/g\n",
    );
    expect(await kubectl.ok("get pods --field-selector=spec.nodeName=n -o name")).toBe("pod/p\n");
    const refused = await kubectl.run(["get", "pods", "--field-selector=spec.zork=n"]);
    expect(refused.stderr).toContain("field label not supported: spec.zork");
    expect(await kubectl.ok("get gd --chunk-size=1 -o name")).toContain("gadget.example.com/g\n");
    expect((await kubectl.run(["get", "gd", "none"])).stderr).toBe(
      'Error from server (NotFound): gadgets.example.com "none" not found\n',
    );
  });

  it("get: built-in kinds in their own columns", async () => {
    expect(header(await kubectl.ok("get pods -o wide"))).toBe(
      "NAME|READY|STATUS|RESTARTS|AGE|IP|NODE|NOMINATED NODE|READINESS GATES",
    );
    expect(header(await kubectl.ok("get pvc"))).toBe(
      "NAME|STATUS|VOLUME|CAPACITY|ACCESS MODES|STORAGECLASS|VOLUMEATTRIBUTESCLASS|AGE",
    );
    expect(header(await kubectl.ok("get deployments"))).toBe("NAME|READY|UP-TO-DATE|AVAILABLE|AGE");
    expect(await kubectl.ok("get sc")).toMatch(
      /^NAME +PROVISIONER +RECLAIMPOLICY +VOLUMEBINDINGMODE +ALLOWVOLUMEEXPANSION +AGE\nfast \(default\) +csi.example.com +Delete +Immediate +false +\d+s\n$/,
    );
    expect(await kubectl.ok("get all")).toContain("deployment.apps/d");
  });

  it("get -w: rows as they change", async () => {
    await kubectl.ok("apply -f -", { input: gadgetText("watched", { mode: "slow" }) });
    let changed = false;
    const { stdout } = await kubectl.run(["get", "gd", "-w"], {
      enough(text) {
        if (!changed && text.includes("watched")) {
          changed = true;
          server.cluster.modify("gadgets.example.com", "default", "watched", ({ spec }) => {
            spec.mode = "fast";
          });
        }
        return /watched +slow[\s\S]*watched +fast/.test(text);
      },
    });
    expect(stdout).toMatch(/watched +slow[\s\S]*watched +fast/);
  });

  it("describe and events", async () => {
    const { metadata } = server.cluster.get("pods", "default", "p") ?? {};
    server.cluster.create("events", {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: "p.1", namespace: "default" },
      involvedObject: {
        apiVersion: "v1",
        kind: "Pod",
        name: "p",
        namespace: "default",
        uid: metadata?.uid,
      },
      type: "Warning",
      reason: "Failed",
      message: "it went wrong",
      count: 2,
      firstTimestamp: "2026-01-01T00:00:00Z",
      lastTimestamp: "2026-01-01T00:00:00Z",
    });
    const text = await kubectl.ok("describe pod p");
    expect(text).toContain("Image:        image:1");
    expect(text).toMatch(/Warning +Failed +.* it went wrong/);
    expect(await kubectl.ok("describe gd g")).toContain("Mode:  fast");
    expect(await kubectl.ok("events --for=pod/p")).toContain("it went wrong");
    expect(await kubectl.ok("get events")).toMatch(/Warning +Failed +pod\/p +it went wrong/);
    expect(await kubectl.ok("describe pvc c")).toContain("StorageClass:  fast");
  });

  it("patch, edit, label, annotate, scale", async () => {
    await kubectl.ok("apply -f -", { input: gadgetText("e", { mode: "slow" }) });
    await kubectl.ok(`patch gd e --type=merge -p '{"spec":{"size":5}}'`);
    await kubectl.ok(`patch gd e --type=json -p '[{"op":"add","path":"/spec/name","value":"x"}]'`);
    const strategic = await kubectl.run(["patch", "gd", "e", "-p", '{"spec":{"size":6}}']);
    expect(strategic.stderr).toContain("application/merge-patch+json");
    await kubectl.ok(
      `patch deployment d -p '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"i2"}]}}}}'`,
    );
    const deployment = server.cluster.get("deployments.apps", "default", "d");
    const names = deployment?.spec.template.spec.containers.map((one: Json) => one.name);
    expect(names.sort()).toEqual(["main", "side"]);
    await kubectl.ok("annotate gd e note=hello");
    await kubectl.ok("label gd e team=blue");
    const editor = join(kubectl.directory, "editor");
    await writeFile(editor, '#!/bin/sh\nsed -i "s/mode: slow/mode: fast/" "$1"\n');
    await chmod(editor, 0o755);
    await kubectl.ok("edit gd e", { env: { KUBE_EDITOR: editor } });
    const { spec, metadata } = server.cluster.get("gadgets.example.com", "default", "e") ?? {};
    expect(spec).toEqual({ mode: "fast", size: 5, name: "x" });
    expect(metadata?.labels).toEqual({ team: "blue" });
    expect(metadata?.annotations?.["note"]).toBe("hello");
    await kubectl.ok("scale deployment d --replicas=4");
    expect(server.cluster.get("deployments.apps", "default", "d")?.spec.replicas).toBe(4);
  });

  it("status: its own subresource where the definition has one", async () => {
    await kubectl.ok("apply -f -", { input: gadgetText("t") });
    const before = server.cluster.get("gadgets.example.com", "default", "t");
    await kubectl.ok(
      `patch gd t --subresource=status --type=merge -p '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'`,
    );
    expect(await kubectl.ok("get gd t")).toMatch(/t +fast +True/);
    const after = server.cluster.get("gadgets.example.com", "default", "t");
    expect(after?.metadata.generation).toBe(before?.metadata.generation);
    await kubectl.ok("wait gd/t --for=condition=Ready --timeout=5s");
    await kubectl.ok("wait gd/t --for=jsonpath={.spec.mode}=fast --timeout=5s");
    const late = await kubectl.run(["wait", "gd/t", "--for=condition=Other", "--timeout=1s"]);
    expect(late.stderr).toContain("timed out waiting");
  });

  it("delete: waits for finalizers", async () => {
    await kubectl.ok("apply -f -", { input: gadgetText("f") });
    await kubectl.ok(
      `patch gd f --type=merge -p '{"metadata":{"finalizers":["example.com/hold"]}}'`,
    );
    const waiting = kubectl.ok("delete gd f --timeout=20s");
    while (!server.cluster.get("gadgets.example.com", "default", "f")?.metadata.deletionTimestamp) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await kubectl.ok(`patch gd f --type=merge -p '{"metadata":{"finalizers":null}}'`);
    expect(await waiting).toContain('gadget.example.com "f" deleted');
    expect(await kubectl.ok("delete gd u --ignore-not-found")).toContain("deleted");
    expect(await kubectl.ok("delete gd none --ignore-not-found")).toBe("");
    await kubectl.ok("delete pod p --force --grace-period=0");
    await kubectl.ok("apply -f -", { input: manifests });
  });

  it("logs and exec", async () => {
    expect(await kubectl.ok("logs p")).toBe("a line\n");
    expect(await kubectl.ok("exec p -- echo hello")).toBe("echo hello\n");
    expect(await kubectl.ok("exec -i p -- cat", { input: "typed " })).toBe("typed cat\n");
    const failed = await kubectl.run(["exec", "p", "--", "false"]);
    expect(failed.code).toBe(7);
  });

  it("api-resources and explain", async () => {
    const table = await kubectl.ok("api-resources");
    expect(table).toMatch(/gadgets +gd +example.com\/v1 +true +Gadget/);
    expect(table).toMatch(/persistentvolumeclaims +pvc +v1 +true +PersistentVolumeClaim/);
    const text = await kubectl.ok("explain gadget.spec");
    expect(text).toContain("What is wished for.");
    expect(text).toMatch(/mode\t<string> -required-\n +enum: slow, fast/);
    expect(await kubectl.ok("explain pvc.spec.volumeMode")).toContain("Filesystem or Block");
  });

  it("auth can-i, whoami, --as", async () => {
    expect(await kubectl.ok("auth can-i delete nodes")).toBe("yes\n");
    await kubectl.ok("create serviceaccount robot");
    await kubectl.ok("create role reader --verb=get,list --resource=pods");
    await kubectl.ok("create rolebinding robot --role=reader --serviceaccount=default:robot");
    const as = "--as=system:serviceaccount:default:robot";
    expect(await kubectl.ok(`auth can-i list pods ${as}`)).toBe("yes\n");
    expect((await kubectl.run(["auth", "can-i", "list", "secrets", as])).stdout).toBe("no\n");
    expect(await kubectl.ok(`get pods -o name ${as}`)).toBe("pod/p\n");
    expect((await kubectl.run(["get", "secrets", as])).stderr).toBe(
      'Error from server (Forbidden): secrets is forbidden: User "system:serviceaccount:default:robot" cannot list resource "secrets" in API group "" in the namespace "default"\n',
    );
    expect(await kubectl.ok("auth whoami")).toContain("kubernetes-admin");
  });
});

describe.skipIf(versions.length === 0)("kubectl of other versions", () => {
  it.each(sample.map((path) => [path.slice(path.lastIndexOf("/") + 1), path] as const))(
    "%s",
    async (_name, program) => {
      const server = await openServer();
      const kubectl = await openKubectl(server, program);
      try {
        const input = JSON.stringify(gadget("a"));
        await kubectl.ok("apply -f -", { input });
        await kubectl.ok("apply -f -", {
          input: JSON.stringify(gadget("a", { mode: "fast", size: 2 })),
        });
        expect(await kubectl.ok("get gadgets")).toMatch(/^NAME +MODE +READY +AGE\na +fast/);
        await kubectl.ok(`patch gadget a --type=merge -p '{"spec":{"mode":"slow"}}'`);
        await kubectl.ok("label gadget a x=y");
        await kubectl.ok("create namespace n");
        expect(await kubectl.ok("describe gadget a")).toContain("Mode:  slow");
        expect(await kubectl.ok("explain gadget.spec.mode")).toContain("How it works.");
        expect(await kubectl.ok("auth can-i get pods")).toBe("yes\n");
        await kubectl.ok("wait --for=jsonpath={.spec.mode}=slow gadget/a --timeout=5s");
        await kubectl.ok("apply -f -", { input: manifests });
        expect(await kubectl.ok("logs p")).toBe("a line\n");
        // Up to 1.30 over SPDY, then over a WebSocket.
        expect(await kubectl.ok("exec -i p -- cat", { input: "typed " })).toBe("typed cat\n");
        expect((await kubectl.run(["exec", "p", "--", "false"])).code).toBe(7);
        await kubectl.ok("delete gadget a");
      } finally {
        await kubectl.close();
        await server.close();
      }
    },
  );
});
