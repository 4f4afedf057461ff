/**
 * What we write of a backup, compared key by key with what a real Velero server wrote of the same objects and the same specs: every file
 * of the layout, the members of each with their types, the tarball entry by entry. What differs on purpose is in the tables, with the
 * reason; anything else that differs fails.
 */
import { gunzipSync } from "node:zlib";
import type { Backup } from "@dm/crds";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeItems, tarballFile } from "../../src/bucket/backup-files.ts";
import { goJson } from "../../src/bucket/go-json.ts";
import { decodeTar } from "../../src/bucket/tar-codec.ts";
import type { World } from "../backup/world.ts";
import { compareShapes, shapeOf } from "./json-shape.ts";
import {
  type RealBackup,
  realBackups,
  realFile,
  realFiles,
  realItems,
  text,
  unzipped,
} from "./real-bucket.ts";
import { backUpAgain, ourFile, ourFiles, sceneOf } from "./scene.ts";

/** Keys under `backups/NAME/`. */
const layout: readonly { readonly file: (name: string) => string; readonly empty?: string }[] = [
  { file: () => "velero-backup.json" },
  { file: tarballFile },
  { file: (name) => `${name}-logs.gz` },
  { file: (name) => `${name}-itemoperations.json.gz`, empty: "[]\n" },
  { file: (name) => `${name}-volumeinfo.json.gz`, empty: "[]\n" },
  { file: (name) => `${name}-resource-list.json.gz`, empty: "{}\n" },
  { file: (name) => `${name}-results.gz`, empty: '{"errors":{},"warnings":{}}\n' },
  { file: (name) => `${name}-podvolumebackups.json.gz`, empty: "null\n" },
  { file: (name) => `${name}-volumesnapshots.json.gz`, empty: "null\n" },
];

/** By the end of a file's name: paths of members, and why. */
type Reasons = Readonly<Record<string, Readonly<Record<string, string>>>>;

const bookkeeping = "of the API server: nothing in this process is noted there";
const onlyVelero: Reasons = {
  "velero-backup.json": {
    "metadata.managedFields": bookkeeping,
    "spec.metadata": "an empty structure that Go cannot leave out",
    "spec.hooks": "an empty structure that Go cannot leave out",
  },
  "-podvolumebackups.json.gz": {
    "[].metadata.managedFields": bookkeeping,
    "[].metadata.generateName": "its name comes from what it is of, so that it is made once",
  },
  "-results.gz": {
    "errors.velero": "what went wrong with an object is told of its namespace, as restores do",
  },
};
const onlyOurs: Reasons = {
  "velero-backup.json": {},
  "-itemoperations.json.gz": {
    "[].status.nCompleted": "how far it came before it failed",
    "[].status.nTotal": "how far it came before it failed",
  },
  "-podvolumebackups.json.gz": {},
  "-volumeinfo.json.gz": {
    "[].startTimestamp": "Velero knows it only when the snapshot is still there",
    "[].skippedReason": "a claim that failed is listed, with the reason",
  },
  "-results.gz": {
    "errors.namespaces": "what went wrong with an object is told of its namespace, as restores do",
  },
};
const otherTypes: Reasons = {
  "-volumeinfo.json.gz": {
    "[].csiSnapshotInfo.ReadyToUse": "the snapshot is looked at before it goes",
    "[].pvInfo.labels": "an empty map; Go writes null",
  },
};

const used = new Set<string>();
const keyOf = (end: string, path: string): string => `${end}: ${path}`;

function expectExplained(found: readonly string[], reasons: Reasons, file: string): void {
  const end = Object.keys(reasons).find((one) => file.endsWith(one)) ?? "";
  const known = Object.keys(reasons[end] ?? {});
  expect(
    found.filter((path) => {
      const reason = known.find((one) => path.startsWith(one));
      if (reason !== undefined) used.add(keyOf(end, reason));
      return reason === undefined;
    }),
    file,
  ).toEqual([]);
}

describe.each(realBackups)("backup %s", (name) => {
  let world: World;
  beforeAll(async () => {
    world = await sceneOf(name);
    await backUpAgain(world, name);
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
  });
  const folder = `backups/${name}`;
  const both = (file: string): { real: unknown; ours: unknown } => {
    const json = (bytes: Uint8Array): unknown =>
      JSON.parse(file.endsWith(".gz") ? unzipped(bytes) : text(bytes));
    return { real: json(realFile(folder, file)), ours: json(ourFile(world, name, file)) };
  };
  const backupsOf = (): { real: Backup; ours: Backup } =>
    both("velero-backup.json") as { real: Backup; ours: Backup };

  it("has the files of the layout, and no others", () => {
    const wanted = layout.map(({ file }) => file(name)).sort();
    expect(ourFiles(world, name)).toEqual(wanted);
    expect(realFiles(folder)).toEqual(wanted);
  });

  it("has the same members of the same types in every file of JSON", () => {
    for (const { file: fileOf } of layout) {
      const file = fileOf(name);
      if (!/(json|results)(\.gz)?$/.test(file)) continue;
      const { ours, real } = both(file);
      const isMap = file.includes("resource-list");
      const found = compareShapes(shapeOf(real, isMap), shapeOf(ours, isMap));
      expectExplained(found.missing, onlyVelero, file);
      expectExplained(found.extra, onlyOurs, file);
      expectExplained(found.otherType, otherTypes, file);
    }
  });

  it("writes what is empty as Go does, each file with one line's end", () => {
    for (const { empty, file } of layout) {
      if (empty === undefined) continue;
      const real = unzipped(realFile(folder, file(name)));
      const ours = unzipped(ourFile(world, name, file(name)));
      expect(ours.endsWith("\n") && !ours.trimEnd().includes("\n"), file(name)).toBe(true);
      expect(ours === empty, file(name)).toBe(real === empty);
    }
  });

  it("has the Backup as Velero's server leaves it", () => {
    const { ours, real } = backupsOf();
    const bytes = text(ourFile(world, name, "velero-backup.json"));
    expect(bytes).toMatch(/^\{\n {2}"kind": "Backup",\n {2}"apiVersion": "velero\.io\/v1",\n/);
    expect(bytes.endsWith("\n}")).toBe(true);
    expect(Object.keys(ours)).toEqual(Object.keys(real));
    const { hooks: _hooks, metadata: _metadata, ...spec } = real.spec as Record<string, unknown>;
    expect(ours.spec).toEqual({ ...spec, storageLocation: "default" });
    expect(Object.keys(ours.metadata.annotations ?? {}).sort()).toEqual(
      Object.keys(real.metadata.annotations ?? {})
        .filter((key) => !key.startsWith("kcp.io/"))
        .sort(),
    );
    expect(Object.keys(ours.metadata.labels ?? {}).sort()).toEqual(
      Object.keys(real.metadata.labels ?? {}).sort(),
    );
    const stable = [
      "version",
      "formatVersion",
      "phase",
      "errors",
      "warnings",
      "backupItemOperationsAttempted",
      "backupItemOperationsCompleted",
      "backupItemOperationsFailed",
      "hookStatus",
    ] as const;
    for (const key of stable) expect(ours.status?.[key], key).toEqual(real.status?.[key]);
  });

  it("lists the same objects", () => {
    const { ours, real } = both(`${name}-resource-list.json.gz`) as {
      ours: Record<string, string[]>;
      real: Record<string, string[]>;
    };
    const expected = Object.entries(real).flatMap(([kind, names]) => {
      const left = names.filter((one) => !isNotThere(one));
      return left.length === 0 ? [] : [[kind, left]];
    });
    expect(Object.entries(ours)).toEqual(expected);
  });

  it("has a tarball of the same shape", () => {
    const file = tarballFile(name);
    const [real, ours] = [realFile(folder, file), ourFile(world, name, file)].map((bytes) => {
      const files = [...decodeTar(gunzipSync(bytes))];
      return files.map(({ path }) => path.replace(/\/(moved|partly)-[a-z0-9]+\.json$/, "/$1.json"));
    }) as [string[], string[]];
    expect(ours[0]).toBe("metadata/version");
    const inNamespace = (path: string): string => path.replace("openshift-adp", "velero");
    const expected = real.filter((path) => !isNotThere(path)).map(inNamespace);
    expect([...ours].sort()).toEqual([...expected].sort());
    // The order in which others are backed up is nobody's promise.
    const blockEnds = name === "partly" ? 4 : 6;
    expect(ours.slice(1, 1 + blockEnds)).toEqual(expected.slice(1, 1 + blockEnds));
    const uploads = (paths: string[]): number[] =>
      paths.flatMap((path, at) => (path.includes("datauploads") ? [paths.length - at] : []));
    expect(uploads(ours)).toEqual(uploads(expected));
  });

  it("has every object as the cluster had it, and a moved claim marked as Velero marks it", () => {
    const file = tarballFile(name);
    const items = decodeItems(ourFile(world, name, file), file);
    for (const { object, resource } of items) {
      const { name: own = "", namespace = "" } = object.metadata;
      const stored = world.api.get(resource, namespace, own);
      if (!resource.startsWith("persistentvolumeclaims"))
        expect(goJson(object), own).toBe(goJson(stored));
    }
    const marks = (found: readonly { object: { metadata: object }; resource: string }[]) =>
      found
        .filter(({ resource }) => resource === "persistentvolumeclaims")
        .map(({ object: { metadata } }) => {
          const { annotations = {}, labels = {} } = metadata as Record<string, object>;
          const keys = [...Object.keys(annotations), ...Object.keys(labels)];
          return keys.filter((key) => key.includes("velero.io/")).sort();
        });
    expect(marks(items)).toEqual(marks(realItems(name)));
  });

  it("has a log of lines as Velero's tools read them", () => {
    const file = `${name}-logs.gz`;
    const line = /^time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ" level=(info|warning|error) msg=("|\w)/;
    for (const bytes of [realFile(folder, file), ourFile(world, name, file)]) {
      const lines = unzipped(bytes).trimEnd().split("\n");
      expect(lines.length).toBeGreaterThan(3);
      for (const one of lines) expect(one).toMatch(line);
    }
    const errors = (bytes: Uint8Array): number => unzipped(bytes).split("level=error").length - 1;
    expect(errors(ourFile(world, name, file)) > 0).toBe(errors(realFile(folder, file)) > 0);
  });
});

/** What that cluster makes by itself or has instead of a built-in kind, and a claim that is in no tarball. */
function isNotThere(path: string): boolean {
  return /(kube-root-ca\.crt|\/default|deployments\.apps|broken\/noclass)(\.json)?$/.test(path);
}

it("every difference of the tables is there", () => {
  const all = [onlyVelero, onlyOurs, otherTypes].flatMap((reasons) =>
    Object.entries(reasons).flatMap(([end, paths]) =>
      Object.keys(paths).map((path) => keyOf(end, path)),
    ),
  );
  expect([...used].sort()).toEqual(all.sort());
});

it("a claim that cannot be backed up is an error, and so is data that did not move", async () => {
  const failing: RealBackup = "partly";
  await using world = await sceneOf(failing);
  await backUpAgain(world, failing);
  const results = JSON.parse(unzipped(ourFile(world, failing, `${failing}-results.gz`)));
  const real = unzipped(realFile(`backups/${failing}`, `${failing}-results.gz`));
  const reason = "Cannot snapshot PVC broken/noclass, PVC has no storage class.";
  expect(real).toContain(reason);
  expect(results.errors.namespaces.broken).toEqual([
    `persistentvolumeclaims/noclass: ${reason}`,
    expect.stringMatching(/^persistentvolumeclaims\/bad-disk: data path backup failed/),
  ]);
});
