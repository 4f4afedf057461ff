/**
 * The real `velero` client with our server: the bucket that a real server wrote is listed, described, its logs are read and a backup is
 * deleted, as with Velero itself; a restore and a schedule of ours as well. And what it says of our backups has the same headings as what
 * it says of Velero's.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Restore, restores } from "@dm/crds";
import { unexpired } from "@dm/fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ourBucket, restoreOfMoved } from "./our-bucket.ts";
import { expected, realBackups, realFile, realObjects, unzipped } from "./real-bucket.ts";
import {
  bucket,
  locationName,
  namespace,
  openBucket,
  ServerScene,
  serverVersion,
} from "./server-scene.ts";
import { client, velero } from "./velero-programs.ts";

async function open(objects: ReadonlyMap<string, Uint8Array>): Promise<ServerScene> {
  const scene = await ServerScene.open({ s3: await openBucket(objects), withControllers: true });
  await scene.until(async () => {
    const found = await Promise.all(realBackups.map((name) => scene.backup(name)));
    return found.every(Boolean) ? true : undefined;
  });
  return scene;
}

async function close(scene: ServerScene): Promise<void> {
  await scene[Symbol.asyncDispose]();
  await scene.s3.close();
}

describe.skipIf(!velero.available)(velero.title("velero's client with our server"), () => {
  let scene: ServerScene;
  const run = (...args: string[]): Promise<string> => client(scene, ...args);
  /** It reads and writes, and the server writes how the location is meanwhile. */
  const retried = (...args: string[]): Promise<string> =>
    scene.until(async () =>
      run(...args).catch((error: unknown) => {
        if (!String(error).includes("the object has been modified")) throw error;
        return undefined;
      }),
    );
  beforeAll(async () => {
    scene = await open(unexpired({ objects: realObjects }));
  }, 60_000);
  afterAll(() => close(scene));
  const timeout = 60_000;

  it("version", { timeout }, async () => {
    expect(await run("version")).toMatch(new RegExp(`Server:\\s+Version: ${serverVersion}\\b`));
  });

  it("backup-location get", { timeout }, async () => {
    const row = `${locationName} +aws +${bucket}/velero +Available +.* ReadWrite +true`;
    expect(await run("backup-location", "get")).toMatch(new RegExp(row));
  });

  it("backup get", { timeout }, async () => {
    const text = await run("backup", "get");
    for (const name of realBackups) {
      const { errors, phase, warnings } = expected.backups[name];
      expect(text).toMatch(
        new RegExp(`^${name} +${phase} +${errors} +${warnings} +2026-11-22`, "m"),
      );
    }
  });

  it("backup describe --details", { timeout }, async () => {
    for (const name of realBackups) {
      const text = await run("backup", "describe", name, "--details");
      expect(text).not.toMatch(/<error|WARNING/);
      expect(text).toMatch(new RegExp(`Phase: +${expected.backups[name].phase}\\b`));
    }
  });

  it("backup logs", { timeout }, async () => {
    for (const name of realBackups)
      expect(await run("backup", "logs", name)).toBe(
        unzipped(realFile(`backups/${name}`, `${name}-logs.gz`)),
      );
  });

  it("restore get, describe and logs", { timeout }, async () => {
    scene.create("configmaps", {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "settings", namespace: "default" },
    });
    await scene.client.create(restores, {
      apiVersion: "velero.io/v1",
      kind: "Restore",
      metadata: { name: "copy", namespace },
      spec: {
        backupName: "plain",
        namespaceMapping: { "mysql-persistent": "mysql-copy" },
        includedResources: ["configmaps", "secrets"],
      },
    } as Restore);
    await scene.until(async () => {
      const { status } = (await scene.client.get(restores, { namespace, name: "copy" })) ?? {};
      return status?.phase === "Completed" ? true : undefined;
    });
    expect(await run("restore", "get")).toMatch(/^copy +plain +Completed /m);
    const text = await run("restore", "describe", "copy", "--details");
    expect(text).not.toMatch(/<error|WARNING/);
    expect(await run("restore", "logs", "copy")).toMatch(/^time=.* level=info /);
  });

  it("schedule create and get", { timeout }, async () => {
    await run("schedule", "create", "nightly", "--schedule=0 1 * * *", "--skip-immediately=true");
    const text = await scene.until(async () => {
      const found = await run("schedule", "get");
      return /^nightly +Enabled /m.test(found) ? found : undefined;
    });
    expect(text).toContain("0 1 * * *");
  });

  it("backup create", { timeout }, async () => {
    const text = await run("backup", "create", "new", "--include-namespaces=default", "--wait");
    expect((await scene.backup("new"))?.status).toMatchObject({ phase: "Completed" });
    expect(text).toContain("Backup completed with status: Completed");
  });

  it("backup download", { timeout }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "dmv-"));
    try {
      const file = join(folder, "fsb.tar.gz");
      await run("backup", "download", "fsb", "--output", file);
      expect(readFileSync(file).equals(realFile("backups/fsb", "fsb.tar.gz"))).toBe(true);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("restore create", { timeout }, async () => {
    const flags = [
      "--namespace-mappings=mysql-persistent:mysql-more",
      "--include-resources=secrets",
    ];
    const text = await run("restore", "create", "more", "--from-backup=plain", ...flags, "--wait");
    expect(text).toContain("Restore completed with status: Completed");
    await run("restore", "delete", "more", "--confirm");
    await scene.until(async () =>
      (await scene.client.get(restores, { namespace, name: "more" })) ? undefined : true,
    );
    const { keys } = scene.s3.bucket(bucket);
    expect(keys.filter((key) => key.includes("/restores/more/"))).toEqual([]);
  });

  it("schedule describe, pause, unpause, backup from it, delete", { timeout }, async () => {
    await run("schedule", "pause", "nightly");
    expect(await run("schedule", "get")).toMatch(/^nightly +Enabled .*true/m);
    await run("schedule", "unpause", "nightly");
    expect(await run("schedule", "describe", "nightly")).toMatch(/Schedule: +0 1 \* \* \*/);
    await run("backup", "create", "once", "--from-schedule=nightly", "--wait");
    expect((await scene.backup("once"))?.metadata.labels).toMatchObject({
      "velero.io/schedule-name": "nightly",
    });
    await run("schedule", "delete", "nightly", "--confirm");
    expect(await run("schedule", "get")).not.toContain("nightly");
  });

  it("backup-location create and set, repo get, snapshot-location get", { timeout }, async () => {
    const flags = [
      "--provider=aws",
      `--bucket=${bucket}`,
      "--prefix=other",
      "--access-mode=ReadOnly",
    ];
    await run("backup-location", "create", "second", ...flags);
    // The client itself insists on this.
    await retried("backup-location", "set", locationName, "--default=false");
    await retried("backup-location", "set", "second", "--default");
    await scene.until(async () => {
      const text = await run("backup-location", "get");
      return /^second .* true$/m.test(text.replaceAll(/ +$/gm, "")) ? true : undefined;
    });
    await run("repo", "get");
    await run("snapshot-location", "get");
  });

  it("backup delete", { timeout }, async () => {
    expect(await run("backup", "delete", "moved", "--confirm")).toContain("submitted successfully");
    await scene.until(async () => ((await scene.backup("moved")) ? undefined : true));
    const { keys } = scene.s3.bucket(bucket);
    expect(keys.filter((key) => key.includes("/backups/moved/"))).toEqual([]);
    expect(await run("backup", "get")).not.toMatch(/^moved /m);
  });
});

describe.skipIf(!velero.available)(velero.title("what velero's client says of our backups"), () => {
  it("has the headings of Velero's", { timeout: 60_000 }, async () => {
    const theirs = await open(unexpired({ objects: realObjects }));
    const ours = await open(unexpired({ objects: await ourBucket() }));
    try {
      for (const name of realBackups) {
        const [real, own] = await Promise.all(
          [theirs, ours].map((scene) => client(scene, "backup", "describe", name, "--details")),
        );
        // How far a failed movement came is told, too.
        const wanted = headings(real ?? "").filter((one) => one !== "    Progress");
        const found = headings(own ?? "").filter((one) => one !== "    Progress");
        expect(found, name).toEqual(wanted);
      }
      for (const scene of [theirs, ours]) {
        await scene.client.create(restores, restoreThatWas);
        const text = await client(scene, "restore", "describe", restoreOfMoved, "--details");
        expect(text).not.toMatch(/<error|WARNING/);
        expect(text).toMatch(/Operation for persistentvolumeclaims mysql-clean\/mysql:/);
        expect(text).toMatch(/mysql-clean\/mysql:\n +Data Movement:\n +Operation ID: dd-/);
        expect(text).toContain("- mysql-clean/mysql-config(created)");
      }
    } finally {
      await close(ours);
      await close(theirs);
    }
  });
});

/** As it is after a data movement; its files are in the bucket. */
const restoreThatWas = {
  apiVersion: "velero.io/v1",
  kind: "Restore",
  metadata: { name: restoreOfMoved, namespace },
  spec: { backupName: "moved", namespaceMapping: { "mysql-persistent": "mysql-clean" } },
  status: {
    phase: "Completed",
    startTimestamp: "2026-11-22T22:39:51Z",
    completionTimestamp: "2026-11-22T22:39:55Z",
    restoreItemOperationsAttempted: 1,
    restoreItemOperationsCompleted: 1,
  },
} as Restore;

/** What stands before the first colon of each line, with where it stands; not the objects in lists. */
function headings(text: string): string[] {
  return text.split("\n").flatMap((line) => /^( *[A-Z][^:]*):/.exec(line)?.[1] ?? []);
}
