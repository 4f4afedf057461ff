/**
 * No right of Backups and Restores too many: each rule is taken away in turn, and somebody is refused while an application is backed up
 * by its files, by the data mover and by snapshots that stay, restored, and its backups are deleted. One rule, chosen by DM_SEED, in
 * the plain run; all of them with DM_FULL=1, those with some words in their title with DM_RULES. That none is missing is held by
 * story.test.ts, support.test.ts and, in the full run, the first case here.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  deleteBackupRequests,
  downloadRequests,
  type KubeObject,
  type Resource,
  schedules,
  serverStatusRequests,
} from "@dm/crds";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Programs } from "../src/demo/embedded.ts";
import type { SetUp } from "../src/demo/set-up.ts";
import { until } from "../src/demo/stage.ts";
import { readManifests } from "../src/manifests.ts";
import { Shop } from "./application.ts";
import { backUp, openBackupScene, restore } from "./backup-scene.ts";
import { layOutImage } from "./programs.ts";

const manifests = "overlays/fs-backup";

interface Role extends KubeObject {
  readonly rules: readonly { readonly resources: string[]; readonly verbs: string[] }[];
}
const idOf = ({ kind, metadata }: KubeObject): string => `${kind} ${metadata.name}`;
const isOurs = (object: KubeObject): object is Role =>
  "rules" in object && /backup/.test(object.metadata.name ?? "");
const rules = readManifests(manifests)
  .filter(isOurs)
  .flatMap((role) =>
    role.rules.map(({ resources, verbs }, index) => ({
      title: `${idOf(role)}: ${verbs.join(", ")} ${resources.join(", ")}`,
      role: idOf(role),
      index,
    })),
  );
const seed = Number(process.env["DM_SEED"] ?? Date.now() % 1_000_000);
const nothing = { title: "nothing", role: "", index: 0 };
const chosen = process.env["DM_RULES"]
  ? [nothing, ...rules].filter(({ title }) => title.includes(process.env["DM_RULES"] ?? ""))
  : process.env["DM_FULL"]
    ? [nothing, ...rules]
    : [rules[seed % rules.length] ?? nothing];

let folder = "";
let programs: Programs;
beforeAll(() => {
  console.log(`DM_SEED=${seed}`);
  folder = mkdtempSync(join(tmpdir(), "dm-backup-rights-"));
  writeFileSync(join(folder, "image"), randomBytes(1 << 20));
  programs = layOutImage(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Answered extends KubeObject {
  readonly status?: { readonly phase?: string };
}

/** Creates one of the small requests and waits for what becomes of it; undefined as the phase is that it is gone. */
async function asked<T extends KubeObject>(
  { stage }: SetUp,
  resource: Resource<T>,
  name: string,
  spec: object,
  phase: string | undefined,
): Promise<void> {
  const { client, operatorNamespace: namespace } = stage;
  const { group, kind, version } = resource;
  const object = { apiVersion: `${group}/${version}`, kind, metadata: { name, namespace }, spec };
  await client.create(resource, object as unknown as T);
  await until(`${kind} ${name} to be ${phase ?? "gone"}`, stage, async () => {
    const found = (await client.get(resource, { namespace, name })) as Answered | undefined;
    return (phase === undefined ? !found : found?.status?.phase === phase) || undefined;
  });
}

/** All that the rights are for. */
async function useEverything(scene: SetUp): Promise<void> {
  const shop = new Shop(scene, "shop");
  await shop.install(join(folder, "image"), {
    webAnnotations: { "backup.velero.io/backup-volumes-excludes": "device" },
  });
  const include = { includedNamespaces: ["shop"] };
  const files = { ...include, defaultVolumesToFsBackup: true, snapshotMoveData: true };
  expect(await backUp(scene, "files", files)).toMatchObject({ phase: "Completed" });
  expect(await backUp(scene, "kept", include)).toMatchObject({ phase: "Completed" });
  const back = { backupName: "files", namespaceMapping: { shop: "copy" } };
  expect(await restore(scene, "back", back)).toMatchObject({ phase: "Completed" });
  await new Shop(scene, "copy").answer();
  const logs = { target: { kind: "BackupLog", name: "files" } };
  await asked(scene, downloadRequests, "logs", logs, "Processed");
  await asked(scene, serverStatusRequests, "status", {}, "Processed");
  const schedule = { schedule: "@yearly", skipImmediately: true, template: include };
  await asked(scene, schedules, "yearly", schedule, "Enabled");
  for (const backupName of ["files", "kept"])
    await asked(scene, deleteBackupRequests, `no-${backupName}`, { backupName }, undefined);
}

it.each(chosen)(
  "without it somebody is refused: $title",
  async (rule) => {
    const refused = new AbortController();
    const scene = await openBackupScene({
      programs,
      manifests,
      signal: AbortSignal.any([refused.signal, AbortSignal.timeout(200_000)]),
      changeManifests: (objects) =>
        objects.map((object) =>
          isOurs(object) && idOf(object) === rule.role
            ? { ...object, rules: object.rules.filter((_, index) => index !== rule.index) }
            : object,
        ),
    });
    const { server } = scene.embedded.cluster;
    const looking = setInterval(() => {
      if (server.denied.length > 0) refused.abort(new Error("somebody was refused"));
    }, 100);
    try {
      await useEverything(scene).catch((error: unknown) => {
        if (!refused.signal.aborted) throw error;
      });
      if (rule === nothing) expect(server.denied).toEqual([]);
      else expect(server.denied).not.toEqual([]);
    } finally {
      clearInterval(looking);
      await scene.close();
    }
  },
  240_000,
);
