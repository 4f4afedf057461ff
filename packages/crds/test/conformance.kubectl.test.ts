// What users of kubectl see of the kinds, on the embedded API server with the manifests of this package: columns, short names,
// refusals, status writes, and samples in the form of the documentation, applied as they are. Each test is named after the row of
// the conformance list that it holds to.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseGoDuration } from "@dm/core";
import { requirePeer } from "@dm/fixtures";
import { type ApiServer, createApiServer, type NewObject } from "@dm/testbed";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkObject, crdManifests, customKindOf, newDataUpload } from "../src/index.ts";
import objects from "./data/velero-objects.json" with { type: "json" };
import { samples, samplesFolder } from "./samples.ts";

const peer = requirePeer("kubectl");

describe.skipIf(!peer.available)(peer.title("8.1 Resources"), () => {
  const folder = mkdtempSync(join(tmpdir(), "dm-crds-"));
  const kubeconfig = join(folder, "kubeconfig");
  let server: ApiServer;

  interface Outcome {
    readonly failed: boolean;
    readonly stdout: string;
    readonly stderr: string;
  }
  // not synchronously: the server runs in this process
  const run = (args: readonly string[]): Promise<Outcome> => {
    const flags = ["--kubeconfig", kubeconfig, "--cache-dir", join(folder, "cache")];
    return new Promise((resolve) => {
      execFile(peer.path, [...flags, ...args], { encoding: "utf8" }, (error, stdout, stderr) => {
        resolve({ failed: error !== null, stdout, stderr });
      });
    });
  };
  const kubectl = async (...args: string[]): Promise<string> => {
    const { failed, stdout, stderr } = await run(args);
    if (failed) throw new Error(`kubectl ${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  const refusal = async (...args: string[]): Promise<string> => {
    const { failed, stdout, stderr } = await run(args);
    if (!failed) throw new Error(`kubectl ${args.join(" ")} was not refused: ${stdout}`);
    return stderr;
  };
  /** Not a List, for which kubectl asks for OpenAPI of version 2. */
  const file = (name: string, ...documents: readonly unknown[]): string => {
    const path = join(folder, `${name}.yaml`);
    writeFileSync(path, documents.map((document) => JSON.stringify(document)).join("\n---\n"));
    return path;
  };

  beforeAll(async () => {
    server = await createApiServer();
    await server.kubeconfig(kubeconfig);
    await kubectl("apply", "-f", file("crds", ...crdManifests()));
    await kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s");
    for (const name of ["openshift-adp", "velero"]) {
      server.cluster.create("namespaces", {
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name },
      });
    }
    const [completed] = objects.main;
    await kubectl("create", "-f", file("completed", completed));
  }, 60_000);

  afterAll(async () => {
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Cells of one line; columns are set apart by three spaces, and titles by no more than one inside. */
  const cells = (line: string | undefined): string[] => (line ?? "").trim().split(/ {2,}/);

  it("row 1: the columns of DataUploads are exactly those of Velero", async () => {
    const [header, line] = (await kubectl("get", "datauploads", "-A")).split("\n");
    expect(header?.trim().replace(/ {2,}/g, "  ")).toBe(
      "NAMESPACE  NAME  STATUS  STARTED  BYTES DONE  TOTAL BYTES  STORAGE LOCATION  AGE  NODE",
    );
    expect(cells(line)).toEqual([
      "openshift-adp",
      "moved-zwlmp",
      "Completed",
      expect.stringMatching(/^(?:\d+[smhdy])+$|^<invalid>$/),
      "422370",
      "422370",
      "dpa-sample-1",
      expect.stringMatching(/^\d+s$/),
      "node-1",
    ]);
  });

  it("row 1: so are those of DataDownloads", async () => {
    const sample = samples.find(({ object }) => object.kind === "DataDownload")?.object;
    const download = { ...sample, metadata: { name: "row-1", namespace: "velero" } };
    await kubectl("create", "-f", file("download", download));
    const [header] = (await kubectl("get", "datadownloads", "-A")).split("\n");
    expect(header?.trim().replace(/ {2,}/g, "  ")).toBe(
      "NAMESPACE  NAME  STATUS  STARTED  BYTES DONE  TOTAL BYTES  STORAGE LOCATION  AGE  NODE",
    );
  });

  it("row 2: -o wide has incremental bytes after the total", async () => {
    const [header] = (await kubectl("get", "datauploads", "-A", "-o", "wide")).split("\n");
    expect(cells(header)).toEqual([
      ...["NAMESPACE", "NAME", "STATUS", "STARTED", "BYTES DONE", "TOTAL BYTES"],
      ...["INCREMENTAL BYTES", "STORAGE LOCATION", "AGE", "NODE"],
    ]);
  });

  it("row 3: the short names resolve", async () => {
    await kubectl("get", "dpa,bsl,vsl,ssr,vs,vsc,vsclass", "-A");
  });

  it("row 3: there are no short names du and dd, as with Velero", async () => {
    for (const shortName of ["du", "dd"]) {
      expect(await refusal("get", shortName)).toContain(
        `the server doesn't have a resource type "${shortName}"`,
      );
    }
  });

  it("row 4: a DataUpload without spec.sourcePVC is refused", async () => {
    const upload = upload_("row-4") as NewObject & { spec: Record<string, unknown> };
    delete upload.spec["sourcePVC"];
    expect(await refusal("create", "-f", file("row-4", upload))).toMatch(
      /The DataUpload "row-4" is invalid: spec\.sourcePVC: Required value/,
    );
    expect(() => server.cluster.create("datauploads.velero.io", upload)).toThrow(
      expect.objectContaining({ status: 422 }),
    );
  });

  it("row 5: a DataUpload has no /status; its status is part of the object", async () => {
    await kubectl("create", "-f", file("row-5", upload_("row-5")));
    const patch = ["--type=merge", "-p", '{"status":{"phase":"Accepted"}}'];
    const path = ["patch", "dataupload", "row-5", "-n", "velero"];
    expect(await refusal(...path, "--subresource=status", ...patch)).toContain("NotFound");
    await kubectl(...path, ...patch);
    expect(
      await kubectl("get", "dataupload", "row-5", "-n", "velero", "-o", "jsonpath={.status.phase}"),
    ).toBe("Accepted");
  });

  it("row 6: a DataProtectionApplication has /status", async () => {
    const dpa = {
      apiVersion: "oadp.openshift.io/v1alpha1",
      kind: "DataProtectionApplication",
      metadata: { name: "row-6", namespace: "velero" },
      spec: { configuration: { nodeAgent: { enable: true, uploaderType: "kopia" } } },
    };
    await kubectl("create", "-f", file("row-6", dpa));
    const condition = {
      type: "Reconciled",
      status: "True",
      reason: "Complete",
      message: "Reconcile complete",
      lastTransitionTime: "2026-05-01T00:00:00Z",
    };
    const patch = JSON.stringify({ status: { conditions: [condition] } });
    const path = ["patch", "dpa", "row-6", "-n", "velero", "--type=merge", "-p", patch];
    await kubectl(...path, "--subresource=status");
    const [header, line] = (await kubectl("get", "dpa", "row-6", "-n", "velero")).split("\n");
    expect(cells(header)).toEqual(["NAME", "RECONCILED", "AGE"]);
    expect(cells(line).slice(0, 2)).toEqual(["row-6", "True"]);
  });

  it("row 7: samples in the form of the documentation apply unchanged", async () => {
    let applied = "";
    for (const { file: from, object } of samples) {
      // one after the other: three of them are of the same name
      if (from !== applied) await kubectl("apply", "-f", join(samplesFolder, from));
      applied = from;
      const kind = customKindOf(object);
      if (!kind) throw new Error(`no custom kind for ${object.kind}`);
      const { namespace, name = "" } = object.metadata;
      const { group, plural } = kind.resource;
      const resource = `${plural}.${group}`;
      const stored = server.cluster.get(resource, namespace ?? "", name);
      // all that was sent is there, to the letter of its durations; only defaults are added, and null is as good as absent
      const sent = JSON.parse(
        JSON.stringify(object["spec"] ?? {}, (_, value) => value ?? undefined),
      );
      expect(stored?.spec, from).toMatchObject(sent);
      expect(checkObject(kind.resource, stored)).toBe(stored);
    }
    const backup = server.cluster.get("backups.velero.io", "openshift-adp", "backup");
    expect(parseGoDuration(backup?.spec.csiSnapshotTimeout)).toBe(600_000);
    // again: nothing changes
    expect(await kubectl("apply", "-f", join(samplesFolder, "backup-data-mover.yaml"))).toContain(
      "unchanged",
    );
  });

  it("row 8: what Velero 1.12 to main wrote can be stored, listed and read", async () => {
    const all = [...objects.main.slice(1), ...objects["1.12"], ...objects.newer];
    const items = all.map((object) => ({
      ...object,
      metadata: { ...object.metadata, namespace: "velero", resourceVersion: undefined },
    }));
    await kubectl("create", "-f", file("row-8", ...items), "--validate=false");
    const kinds = new Set(all.map((object) => customKindOf(object)));
    expect(kinds.size).toBe(5);
    for (const custom of kinds) {
      if (!custom) throw new Error("an object of no custom kind");
      const { group, version, plural } = custom.resource;
      const list = JSON.parse(
        await kubectl("get", "--raw", `/apis/${group}/${version}/namespaces/velero/${plural}`),
      );
      expect(list.items.length).toBeGreaterThan(0);
      for (const item of list.items) expect(checkObject(custom.resource, item)).toBe(item);
    }
  });

  function upload_(name: string): NewObject {
    return newDataUpload({
      namespace: "velero",
      name,
      backupStorageLocation: "default",
      sourceNamespace: "apps",
      sourcePVC: "data",
      csiSnapshot: { volumeSnapshot: "s", storageClass: "c" },
    }) as unknown as NewObject;
  }
});
