// What an administrator types to enable the data mover, with the real kubectl on the embedded API server, while the controller runs:
// the Secret, the application as the documentation writes it, waiting for it, looking at it, changing it, deleting it.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crdManifests } from "@dm/crds";
import { requirePeer } from "@dm/fixtures";
import { type Cluster, startCluster } from "@dm/testbed";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { addApplicationController } from "../../src/oadp/application-controller.ts";
import { createManager } from "../../src/runtime/manager.ts";
import { type NodeKubeClient, nodeKubeClient } from "../../src/runtime/node-client.ts";
import { awsCredentials } from "./samples.ts";

const peer = requirePeer("kubectl");
const namespace = "openshift-adp";

const application = `apiVersion: oadp.openshift.io/v1alpha1
kind: DataProtectionApplication
metadata:
  name: dpa-sample
  namespace: openshift-adp
spec:
  configuration:
    nodeAgent:
      enable: true
      uploaderType: kopia
    velero:
      defaultPlugins:
        - openshift
        - aws
        - csi
      defaultSnapshotMoveData: true
      podConfig:
        env:
          - name: KOPIA_HASHING_ALGORITHM
            value: BLAKE3-256
          - name: KOPIA_ENCRYPTION_ALGORITHM
            value: CHACHA20-POLY1305-HMAC-SHA256
          - name: KOPIA_SPLITTER_ALGORITHM
            value: DYNAMIC-8M-RABINKARP
  backupLocations:
    - velero:
        provider: aws
        default: true
        objectStorage:
          bucket: my-bucket
          prefix: velero
        config:
          region: eu-central-1
          profile: default
        credential:
          name: cloud-credentials
          key: cloud
`;

describe.skipIf(!peer.available)(peer.title("an administrator"), () => {
  const folder = mkdtempSync(join(tmpdir(), "dm-oadp-"));
  const stop = new AbortController();
  let cluster: Cluster;
  let client: NodeKubeClient;
  let running: Promise<void>;

  // Not synchronously: the server runs in this process.
  const kubectl = (...args: readonly string[]): Promise<string> =>
    new Promise((resolve, reject) => {
      const flags = ["--kubeconfig", cluster.kubeconfig, "--cache-dir", join(folder, "cache")];
      execFile(peer.path, [...flags, "-n", namespace, ...args], (error, stdout, stderr) => {
        if (error) reject(new Error(`kubectl ${args.join(" ")}: ${stderr}`));
        else resolve(stdout);
      });
    });
  const file = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };

  beforeAll(async () => {
    cluster = await startCluster({ csi: false, nodes: [] });
    for (const crd of crdManifests())
      cluster.api.create("customresourcedefinitions.apiextensions.k8s.io", crd as never);
    cluster.api.create("namespaces", {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: namespace },
    });
    client = nodeKubeClient({ kubeconfig: cluster.kubeconfig });
    const manager = createManager({ client });
    addApplicationController(manager, { client, namespace, retryMs: 200 });
    running = manager.run(stop.signal);
  });
  afterAll(async () => {
    stop.abort(new Error("the tests have ended"));
    await running;
    client.close();
    await cluster.close();
    rmSync(folder, { recursive: true });
  });

  it("rows 109, 112, 113: enables the data mover, looks, changes and removes it", async () => {
    await kubectl("apply", "--validate=strict", "-f", file("dpa.yaml", application));
    await kubectl("wait", "--for=condition=Reconciled=False", "dpa/dpa-sample", "--timeout=20s");
    expect(
      await kubectl("get", "dpa", "dpa-sample", "-o", "jsonpath={.status.conditions[0].message}"),
    ).toContain('"cloud-credentials" not found');

    const credentials = file("credentials-velero", awsCredentials());
    await kubectl(
      "create",
      "secret",
      "generic",
      "cloud-credentials",
      `--from-file=cloud=${credentials}`,
    );
    await kubectl("wait", "--for=condition=Reconciled", "dpa/dpa-sample", "--timeout=20s");
    expect(await kubectl("get", "dpa")).toMatch(/^NAME +RECONCILED +AGE\ndpa-sample +True +\S+\n$/);
    expect(await kubectl("get", "bsl", "-o", "name")).toBe(
      "backupstoragelocation.velero.io/dpa-sample-1\n",
    );
    expect(await kubectl("get", "deployment,daemonset", "-o", "name")).toBe(
      "deployment.apps/velero\ndaemonset.apps/node-agent\n",
    );
    expect(await kubectl("describe", "deployment", "velero")).toMatch(
      /--features=EnableCSI.*KOPIA_HASHING_ALGORITHM: +BLAKE3-256/s,
    );
    expect(await kubectl("describe", "daemonset", "node-agent")).not.toContain("KOPIA_");

    const path = "/spec/configuration/nodeAgent/loadConcurrency";
    const patch = JSON.stringify([{ op: "add", path, value: { globalConfig: 3 } }]);
    await kubectl("patch", "dpa", "dpa-sample", "--type=json", "-p", patch);
    await kubectl("wait", "--for=create", "configmap/node-agent-dpa-sample", "--timeout=20s");

    await kubectl("delete", "dpa", "dpa-sample");
    await kubectl("wait", "--for=delete", "deployment/velero", "--timeout=20s");
    await kubectl("wait", "--for=delete", "bsl/dpa-sample-1", "--timeout=20s");
    expect(await kubectl("get", "secret", "cloud-credentials", "-o", "name")).toBe(
      "secret/cloud-credentials\n",
    );
  }, 60_000);

  it("row 108: reads why an application is refused", async () => {
    const refused = async (text: string): Promise<string> => {
      await kubectl("apply", "-f", file("refused.yaml", text));
      await kubectl("wait", "--for=condition=Reconciled=False", "dpa/dpa-sample", "--timeout=20s");
      const path = "jsonpath={.status.conditions[0].reason}: {.status.conditions[0].message}";
      const message = await kubectl("get", "dpa", "dpa-sample", "-o", path);
      await kubectl("delete", "dpa", "dpa-sample");
      return message;
    };
    await kubectl("apply", "-f", file("two.yaml", application.replace("dpa-sample", "other")));
    expect(await refused(application)).toBe(
      "Error: only one DPA CR can exist per OADP installation namespace",
    );
    await expect(
      kubectl("apply", "-f", file("typo.yaml", application.replace("kopia\n", "rsync\n"))),
    ).rejects.toThrow('Unsupported value: "rsync"');
  }, 60_000);
});
