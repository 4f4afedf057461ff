/**
 * No right too many: each rule of the manifests is taken away in turn, and somebody is refused. One rule, chosen by DM_SEED, in the
 * plain run; all of them with DM_FULL=1, those with some words in their title with DM_RULES. That none is missing is held by
 * demo.test.ts. This is the data mover alone; the rights of Backups and Restores are the matter of backup-rights.test.ts.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { backupRepositories, dataDownloads, type KubeObject } from "@dm/crds";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Programs } from "../src/demo/embedded.ts";
import { createTarget } from "../src/demo/movement.ts";
import { runDemo } from "../src/demo/run-demo.ts";
import { createScreen } from "../src/demo/screen.ts";
import type { Scene } from "../src/demo/set-up.ts";
import { until } from "../src/demo/stage.ts";
import type { DemoVolume } from "../src/demo/volumes.ts";
import { readManifests } from "../src/manifests.ts";
import { layOutImage } from "./programs.ts";

interface Role extends KubeObject {
  rules: { apiGroups: string[]; resources: string[]; verbs: string[] }[];
}

const hasRules = (object: KubeObject): object is Role => "rules" in object;
const manifests = "overlays/data-mover";
const rules = readManifests(manifests)
  .filter(hasRules)
  .flatMap(({ kind, metadata, rules }) =>
    rules.map(({ resources, verbs }, index) => ({
      title: `${kind} ${metadata.name}: ${verbs.join(", ")} ${resources.join(", ")}`,
      role: `${kind}/${metadata.name}`,
      index,
    })),
  );
const seed = Number(process.env["DM_SEED"] ?? Date.now() % 1_000_000);
const chosen = process.env["DM_RULES"]
  ? rules.filter(({ title }) => title.includes(process.env["DM_RULES"] ?? ""))
  : process.env["DM_FULL"]
    ? rules
    : [rules[seed % rules.length] ?? rules[0]];

let folder = "";
let programs: Programs;
beforeAll(() => {
  console.log(`DM_SEED=${seed}`);
  folder = mkdtempSync(join(tmpdir(), "dm-rights-"));
  mkdirSync(join(folder, "source"));
  writeFileSync(join(folder, "source/file"), "text");
  programs = layOutImage(folder);
  writeFileSync(join(folder, "image"), Buffer.alloc(1 << 20, "block "));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What no story of success needs: a maintenance, and the log of a mover that failed. */
async function lessUsual({ stage }: Scene): Promise<void> {
  const { client, location, namespace, operatorNamespace } = stage;
  const repository = { namespace: operatorNamespace, name: `${namespace}-default-kopia` };
  await client.patch(backupRepositories, repository, { spec: { maintenanceFrequency: "1s" } });
  const target: DemoVolume = { claim: "target", volumeMode: "Filesystem", size: "1Mi" };
  await createTarget(stage, target);
  const key = { namespace: operatorNamespace, name: "unknown" };
  await client.create(dataDownloads, {
    apiVersion: "velero.io/v2alpha1",
    kind: "DataDownload",
    metadata: key,
    spec: {
      backupStorageLocation: location,
      datamover: "dm",
      operationTimeout: "10m0s",
      snapshotID: "0".repeat(32),
      sourceNamespace: namespace,
      targetVolume: { namespace, pv: "", pvc: target.claim },
    },
  });
  await until("the mover to fail, and maintenance to end", stage, async () => {
    const phase = (await client.get(dataDownloads, key))?.status?.phase;
    const records = (await client.get(backupRepositories, repository))?.status?.recentMaintenance;
    return (phase === "Failed" && (records?.length ?? 0) > 0) || undefined;
  });
}

it.each(chosen)(
  "without it somebody is refused: $title",
  async (rule) => {
    const refused = new AbortController();
    const denials: string[] = [];
    await runDemo({
      settings: {
        sources: [join(folder, "source")],
        block: join(folder, "image"),
        keep: false,
        image: "dm",
        yes: false,
        algorithms: {},
      },
      screen: createScreen(() => {}, false),
      programs,
      manifests,
      defaultSources: [],
      signal: AbortSignal.any([refused.signal, AbortSignal.timeout(200_000)]),
      onCluster({ cluster }) {
        const looking = setInterval(() => {
          for (const { user, verb, resource } of cluster.server.denied)
            denials.push(`${user} ${verb} ${resource}`);
          if (denials.length === 0) return;
          clearInterval(looking);
          refused.abort(new Error("somebody was refused"));
        }, 100);
        looking.unref();
      },
      inspect: lessUsual,
      changeManifests: (objects) =>
        objects.map((object) =>
          hasRules(object) && `${object.kind}/${object.metadata.name}` === rule?.role
            ? { ...object, rules: object.rules.filter((_, index) => index !== rule.index) }
            : object,
        ),
    }).catch((error: unknown) => {
      if (!refused.signal.aborted) throw error;
    });
    expect(denials).not.toEqual([]);
  },
  240_000,
);
