/** Whoever follows the guide with kubectl, from an empty cluster on, gets what it promises: every block of commands for a cluster is carried out. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { KubeObject } from "@dm/crds";
import { requirePeer } from "@dm/fixtures";
import { type S3Server, startS3Server } from "@dm/storage/testing/s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Embedded, startEmbedded, storageObjects } from "../src/demo/embedded.ts";
import { applyObjects } from "../src/demo/install.ts";
import { manifestFolder } from "../src/manifests.ts";
import { installDm } from "./guide-dm.ts";
import { guideBlocks, guidePages } from "./guide-pages.ts";
import { follow } from "./guide-reader.ts";
import { layOutImage } from "./programs.ts";

const peer = requirePeer("kubectl");

/** In the order in which a newcomer reads them. */
const pages = [
  "install.md",
  "first-backup.md",
  "restore.md",
  "deletion-and-expiry.md",
  "algorithms.md",
  "file-system-backup.md",
  "operator.md",
];
const isOfCluster = ({ words }: { words: string }): boolean => words === "";

/** Nothing here waits for long, so nobody needs to look rarely. */
const shortWaits =
  "--item-operation-sync-frequency=200ms, --csi-snapshot-poll=200ms, --backup-sync-period=1s";

describe.skipIf(!peer.available)(peer.title("the guide with kubectl"), () => {
  let folder = "";
  let embedded: Embedded;
  let store: S3Server;
  const signal = AbortSignal.timeout(400_000);

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "dm-guide-"));
    const programs = layOutImage(join(folder, "image"));
    installDm(join(folder, "bin"));
    const argv = [process.execPath, programs.controller];
    const images = {
      "registry.example.com/dm:1": { argv, isEntrypoint: true },
      "registry.example.com/dm-cli:1": {
        argv: ["dm"],
        isEntrypoint: true,
        env: { PATH: `${join(folder, "bin")}:${process.env["PATH"]}` },
      },
      "busybox:1.37": [],
    };
    embedded = await startEmbedded(join(folder, "cluster"), programs, { images, nodes: 1 });
    const renamed = storageObjects(embedded.cluster.csi?.name ?? "").map(named);
    await applyObjects(embedded.client, renamed, { signal });
    const key = { accessKeyId: "EXAMPLEKEYID", secretAccessKey: "EXAMPLESECRETKEY" };
    store = await startS3Server({ buckets: ["backups"], accessKeys: [key] });
    layOutProject(join(folder, "project"));
  });
  afterAll(async () => {
    await embedded?.cluster.close();
    embedded?.client.close();
    await store?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it.each(pages)("%s", { timeout: 120_000 }, async (page) => {
    const done = await follow(page, {
      folder: join(folder, "project"),
      environment: {
        PATH: `${dirname(peer.path)}:${process.env["PATH"]}`,
        HOME: folder,
        KUBECONFIG: embedded.cluster.kubeconfig,
      },
      instead: { "https://s3.example.com": `http://${store.endpoint}` },
      runs: isOfCluster,
      signal,
    });
    const wanted = guideBlocks(page).filter(
      (block) => block.language === "sh" && isOfCluster(block),
    );
    expect(wanted.length).toBeGreaterThan(0);
    expect(done.map(({ block }) => block.line)).toEqual(wanted.map(({ line }) => line));
  });

  it("needed no right that nobody has", () => {
    expect(embedded.cluster.server.denied).toEqual([]);
  });
});

it("no page with commands for a cluster is left out", () => {
  const withCommands = guidePages().filter((page) =>
    guideBlocks(page).some((block) => block.language === "sh" && isOfCluster(block)),
  );
  expect([...pages].sort()).toEqual(withCommands.sort());
});

/** The classes as the guide calls them. */
function named(object: KubeObject): KubeObject {
  const names: Readonly<Record<string, string>> = {
    StorageClass: "standard",
    VolumeSnapshotClass: "standard-snapshots",
  };
  const name = names[object.kind ?? ""];
  return name === undefined ? object : { ...object, metadata: { ...object.metadata, name } };
}

/** What the guide uses of the project. */
function layOutProject(project: string): void {
  const manifests = join(project, "examples/controller/manifests");
  mkdirSync(manifests, { recursive: true });
  cpSync(manifestFolder, manifests, { recursive: true });
  change(join(manifests, "parts/server.yaml"), /(?<=args: \[server, .*)(?=\])/, `, ${shortWaits}`);
  for (const file of ["parts/server.yaml", "operator/operator.yaml"])
    change(join(manifests, file), /(?<=readinessProbe:\n)( +)/, "$1periodSeconds: 1\n$1");
}

function change(file: string, where: RegExp, to: string): void {
  const text = readFileSync(file, "utf8");
  if (!where.test(text)) throw new Error(`${file} is not what it was`);
  writeFileSync(file, text.replace(where, to));
}
