// The story of a volume as a person lives it with the real kubectl: claim, write, cut, lose, restore, read, enlarge, delete.
import { requirePeer } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import { kubectl, openCluster } from "../kubelet/running-cluster.ts";
import { createSnapshotKinds } from "./snapshot-kinds.ts";

const peer = requirePeer("kubectl");

const classes = `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: standard
  annotations: { storageclass.kubernetes.io/is-default-class: "true" }
provisioner: csi.testbed.dm
allowVolumeExpansion: true
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotClass
metadata: { name: standard }
driver: csi.testbed.dm
deletionPolicy: Delete
`;

const claim = (name: string, more = ""): string => `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: ${name} }
spec:
  accessModes: [ReadWriteOnce]
  resources: { requests: { storage: 1Gi } }
  ${more}
`;

const pod = (name: string, claimName: string, script: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name} }
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: sh
    imagePullPolicy: IfNotPresent
    args: ["${script}"]
    volumeMounts: [{ name: v, mountPath: /data }]
  volumes: [{ name: v, persistentVolumeClaim: { claimName: ${claimName} } }]
`;

const snapshot = `
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: { name: cut }
spec:
  volumeSnapshotClassName: standard
  source: { persistentVolumeClaimName: data }
`;

describe.skipIf(!peer.available)(peer.title("storage with kubectl"), () => {
  it("keeps what was written through claim, snapshot and restore", async () => {
    const cluster = await openCluster({ csi: { canMount: false } });
    createSnapshotKinds(cluster.api);
    const run = async (args: string, input?: string): Promise<string> => {
      const result = await kubectl(peer.path, cluster, args.split(" "), input);
      expect(result.stderr).toBe("");
      return result.stdout;
    };
    const apply = (text: string): Promise<string> => run("apply -f -", text);
    const untilDone = (name: string): Promise<string> =>
      run(`wait --for=jsonpath={.status.phase}=Succeeded pod/${name} --timeout=50s`);

    await apply(classes);
    expect(await run("get storageclass")).toMatch(
      /^NAME +PROVISIONER +RECLAIMPOLICY +VOLUMEBINDINGMODE +ALLOWVOLUMEEXPANSION +AGE\nstandard \(default\) +csi\.testbed\.dm +Delete +WaitForFirstConsumer +true/,
    );
    await apply(claim("data"));
    await run("wait --for=jsonpath={.status.phase}=Pending pvc/data --timeout=50s");
    await apply(pod("writer", "data", "echo before > /data/file"));
    await untilDone("writer");
    expect(await run("get pvc data")).toMatch(
      /^NAME +STATUS +VOLUME +CAPACITY +ACCESS MODES +STORAGECLASS .*\ndata +Bound +pvc-[0-9a-f-]{36} +1Gi +RWO +standard/,
    );
    await apply(snapshot);
    await run("wait --for=jsonpath={.status.readyToUse}=true volumesnapshot/cut --timeout=50s");
    expect(await run("get volumesnapshot cut -o jsonpath={.status.restoreSize}")).toBe("1Gi");

    await run("delete pod/writer pvc/data --timeout=50s");
    await run("wait --for=delete pv --all --timeout=50s");
    const dataSource =
      "dataSource: { apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: cut }";
    await apply(claim("restored", dataSource));
    await apply(pod("reader", "restored", "cat /data/file"));
    await untilDone("reader");
    expect(await run("logs reader")).toBe("before\n");

    const described = await run("describe pvc restored");
    expect(described).toMatch(/^Status: +Bound$/m);
    expect(described).toMatch(/^Used By: +reader$/m);
    for (const reason of ["WaitForFirstConsumer", "Provisioning", "ProvisioningSucceeded"])
      expect(described).toMatch(new RegExp(`Normal +${reason} `));

    const larger = '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}';
    await run(`patch pvc restored -p ${larger}`);
    await run("wait --for=jsonpath={.status.capacity.storage}=2Gi pvc/restored --timeout=50s");

    await run("delete volumesnapshot/cut pod/reader pvc/restored --timeout=50s");
    for (const kind of ["pv", "volumesnapshotcontent", "volumeattachment"])
      await run(`wait --for=delete ${kind} --all --timeout=50s`);
    expect(cluster.csi?.volumes()).toEqual([]);
    expect(cluster.csi?.snapshots()).toEqual([]);
  });
});
