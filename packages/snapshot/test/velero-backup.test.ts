// Volumes backed up and restored in Velero's place, over directories and an S3 server: identity, increments, what cannot be read,
// stops that are gone on from, aborts, proofs.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { splitmix64 } from "@dm/fixtures";
import type { Repository } from "@dm/repo";
import { filesystemStore } from "@dm/storage/filesystem";
import { startS3Server } from "@dm/storage/testing/s3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  diffTrees,
  listSnapshots,
  readDirectory,
  type Snapshot,
  verifySnapshots,
} from "../src/index.ts";
import {
  type BackupVeleroVolumeOptions,
  backupVeleroVolume,
  connectOrCreateVeleroRepository,
  forgetVeleroCheckpoints,
  openVeleroStore,
  restoreVeleroVolume,
} from "../src/velero/index.ts";
import { deriveKey } from "./new-repository.ts";

const operationTag = "velero.io/async-operation-id";
const options: BackupVeleroVolumeOptions = {
  volumeMode: "Filesystem",
  volume: ["shop", "data-pvc"],
  operation: { id: "op-1", startedAtNs: 1n },
  workers: 0,
};

/** As the next DataUpload of the same claim asks. */
const next: BackupVeleroVolumeOptions = { ...options, operation: { id: "op-2", startedAtNs: 1n } };

let folder: string;
let repository: Repository;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "dm-velero-backup-"));
  const store = await openVeleroStore(
    { provider: "fs", config: { fspath: join(folder, "store") } },
    "shop",
    {
      create: true,
    },
  );
  repository = await connectOrCreateVeleroRepository(store, {
    password: "p",
    deriveKey,
    format: { splitter: "DYNAMIC-1M-BUZHASH" },
  });
});
afterEach(async () => {
  await repository[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

function makeVolume(files = 40): string {
  const path = join(folder, "uid-1");
  mkdirSync(join(path, "sub"), { recursive: true });
  for (let index = 0; index < files; index++)
    writeFileSync(join(path, "sub", `f${index}`), splitmix64(index + 1, 20_000 + index));
  writeFileSync(join(path, "large"), splitmix64(99, 9_000_000));
  symlinkSync("sub/f1", join(path, "link"));
  return path;
}

const same = (a: string, b: string): void => {
  execFileSync("sh", ["-c", 'diff -r --no-dereference "$1" "$2"', "sh", a, b]);
};

/** Root may read everything: then somebody else does it. */
async function asAnyUser<Result>(run: () => Promise<Result>): Promise<Result> {
  if (process.geteuid?.() !== 0) return run();
  const nobody = 65534;
  execFileSync("chown", ["-R", `${nobody}:${nobody}`, folder]);
  process.seteuid?.(nobody);
  try {
    return await run();
  } finally {
    process.seteuid?.(0);
  }
}

const snapshots = (): Promise<Snapshot[]> => listSnapshots(repository);

describe("a volume of files", () => {
  it("row 22: is a snapshot with Velero's source, tags, description and pin, and comes back", async () => {
    const path = makeVolume();
    const told: { totalBytes: number; doneBytes: number }[] = [];
    const backup = await backupVeleroVolume(repository, path, {
      ...options,
      onProgress: (progress) => told.push(progress),
    });
    expect(backup).toMatchObject({ isEmpty: false, parentId: undefined, checkpointIds: [] });
    expect(backup.snapshot.id).toMatch(/^[0-9a-f]{32}$/);
    expect(backup.totalBytes).toBe(backup.snapshot.stats.totalSize);
    expect(told.at(-1)).toEqual({ totalBytes: backup.totalBytes, doneBytes: backup.totalBytes });
    expect((await snapshots())[0]).toMatchObject({
      id: backup.snapshot.id,
      source: {
        host: "default",
        userName: "default",
        path: "snapshot-data-upload-download/kopia/shop/data-pvc",
      },
      description: "Kopia Uploader",
      pins: ["velero-pin"],
      tags: {
        [operationTag]: "op-1",
        "snapshot-requester": "snapshot-data-upload-download",
        "snapshot-uploader": "kopia",
      },
      rootEntry: { name: "uid-1" },
    });
    const target = join(folder, "restored");
    mkdirSync(target);
    const { totalBytes } = await restoreVeleroVolume(repository, backup.snapshot.id, target, {
      volumeMode: "Filesystem",
    });
    expect(totalBytes).toBeGreaterThan(9_000_000);
    same(path, target);
  });

  it("row 23: reads only what has changed", async () => {
    const path = makeVolume();
    const first = await backupVeleroVolume(repository, path, options);
    writeFileSync(join(path, "sub", "new"), "seven b");
    const second = await backupVeleroVolume(repository, path, next);
    expect(second.parentId).toBe(first.snapshot.id);
    expect(second.incrementalBytes).toBe(7);
    expect(second.totalBytes).toBeGreaterThan(9_000_000);
  });

  it("row 24: an empty one is an empty directory", async () => {
    const path = join(folder, "empty");
    mkdirSync(path);
    const backup = await backupVeleroVolume(repository, path, options);
    expect(backup).toMatchObject({ isEmpty: true, totalBytes: 0, incrementalBytes: 0 });
    const target = join(folder, "restored");
    mkdirSync(target);
    await restoreVeleroVolume(repository, backup.snapshot.id, target, { volumeMode: "Filesystem" });
    same(path, target);
  });

  it("row 28: an unreadable file fails it with its path; the rest is saved", async () => {
    const path = makeVolume();
    chmodSync(join(path, "sub", "f3"), 0);
    const failure = await asAnyUser(() =>
      backupVeleroVolume(repository, path, options).catch((error) => error),
    );
    expect(failure).toMatchObject({ code: "DM_VELERO_FILES_FAILED" });
    expect(failure.message).toContain("Error when processing sub/f3: ");
    const [saved] = await snapshots();
    expect(failure.details).toEqual({ snapshotId: saved!.id, failureCount: 1 });
    expect(saved!.incompleteReason).toBeUndefined();
    // The next one reads what failed.
    chmodSync(join(path, "sub", "f3"), 0o644);
    const whole = await backupVeleroVolume(repository, path, next);
    expect(whole).toMatchObject({ parentId: saved!.id, incrementalBytes: 20_003 });
  });

  it("row 28: of many unreadable files ten are told", async () => {
    const path = makeVolume();
    for (let index = 0; index < 14; index++) chmodSync(join(path, "sub", `f${index}`), 0);
    const failure = await asAnyUser(() =>
      backupVeleroVolume(repository, path, options).catch((error) => error),
    );
    const lines = failure.message.split("\n");
    expect(lines.length).toBe(11);
    expect(lines.at(-1)).toBe("too many errors, ignored...");
    expect(failure.details.failureCount).toBe(14);
  });

  it("a volume that is gone fails it, and nothing is saved", async () => {
    const path = makeVolume(0);
    const gone = await backupVeleroVolume(repository, join(path, "none"), options).catch(
      (error) => error,
    );
    expect(gone.code).toBe("ENOENT");
    expect(await snapshots()).toEqual([]);
  });

  it("is refused as a block volume, and a file as a directory", async () => {
    const path = makeVolume(1);
    const refused = { code: "DM_VELERO_VOLUME_UNSUPPORTED" };
    await expect(
      backupVeleroVolume(repository, path, { ...options, volumeMode: "Block" }),
    ).rejects.toMatchObject(refused);
    await expect(
      backupVeleroVolume(repository, join(path, "large"), options),
    ).rejects.toMatchObject(refused);
    expect(await snapshots()).toEqual([]);
  });

  it("leaves sockets and pipes out without a failure", async () => {
    const path = makeVolume(1);
    execFileSync("mkfifo", [join(path, "pipe")]);
    const { snapshot } = await backupVeleroVolume(repository, path, options);
    const names = (await readDirectory(repository, snapshot.rootEntry)).entries.map(
      ({ name }) => name,
    );
    expect(names.sort()).toEqual(["large", "link", "sub"]);
  });

  it("row 34: an abort ends it and saves nothing", async () => {
    const path = makeVolume();
    const controller = new AbortController();
    const backup = backupVeleroVolume(repository, path, {
      ...options,
      signal: controller.signal,
      onProgress: () => controller.abort(new Error("canceled")),
    });
    await expect(backup).rejects.toThrow("canceled");
    expect(await snapshots()).toEqual([]);
  });

  it("goes on from where it was stopped", async () => {
    const path = makeVolume();
    const controller = new AbortController();
    const stopped = await backupVeleroVolume(repository, path, {
      ...options,
      stopSignal: controller.signal,
      onProgress: () => controller.abort(new Error("drained")),
    }).catch((error) => error);
    expect(stopped).toMatchObject({ code: "DM_VELERO_BACKUP_STOPPED" });
    const [checkpoint] = await snapshots();
    expect(checkpoint).toMatchObject({
      id: stopped.details.checkpointId,
      incompleteReason: "checkpoint",
      pins: [],
    });
    const whole = await backupVeleroVolume(repository, path, options);
    expect(whole.checkpointIds).toEqual([checkpoint!.id]);
    expect(whole.parentId).toBeUndefined();
    expect((await snapshots()).map(({ id }) => id)).toEqual([whole.snapshot.id]);
    const report = await verifySnapshots(repository, await snapshots(), { readFiles: "all" });
    expect(report.findings).toEqual([]);
  });
});

describe("an attempt that was killed when it had made the snapshot, and before it could say so", () => {
  it("is found by the next one", async () => {
    const path = makeVolume(3);
    const first = await backupVeleroVolume(repository, path, options);
    expect(first.wasThere).toBe(false);
    const again = await backupVeleroVolume(repository, path, options);
    expect(again).toMatchObject({ wasThere: true, totalBytes: first.totalBytes });
    expect(again.snapshot.id).toBe(first.snapshot.id);
    expect((await snapshots()).length).toBe(1);
  });

  it("is not taken for one of an older wish with the same id", async () => {
    const path = makeVolume(3);
    const first = await backupVeleroVolume(repository, path, options);
    const operation = { id: "op-1", startedAtNs: first.snapshot.endedAtNs + 1n };
    const again = await backupVeleroVolume(repository, path, { ...options, operation });
    expect(again).toMatchObject({ wasThere: false, parentId: first.snapshot.id });
  });

  it.each([
    [undefined, ["shop", "data-pvc"]],
    ["snapshot-pod-volume", ["shop", "db-0", "data-pvc"]],
  ] as const)(
    "row 34: leaves no checkpoints when it is given up, asked for by %s",
    async (requester, volume) => {
      const path = makeVolume();
      const controller = new AbortController();
      controller.abort(new Error("drained"));
      const stopped = backupVeleroVolume(repository, path, {
        ...options,
        requester,
        volume,
        stopSignal: controller.signal,
      });
      await expect(stopped).rejects.toMatchObject({ code: "DM_VELERO_BACKUP_STOPPED" });
      const { operation = { id: "", startedAtNs: 0n } } = options;
      const forget = (id: string) =>
        forgetVeleroCheckpoints(repository, volume, { ...operation, id }, { requester });
      expect(await forget("other")).toEqual([]);
      expect((await snapshots()).length).toBe(1);
      expect((await forget(operation.id)).length).toBe(1);
      expect(await snapshots()).toEqual([]);
    },
  );
});

describe("a block volume", () => {
  const sizeBytes = 24 << 20;
  const block: BackupVeleroVolumeOptions = {
    ...options,
    volumeMode: "Block",
    volume: ["shop", "disk"],
  };

  function makeImage(): string {
    const path = join(folder, "uid-1");
    writeFileSync(path, splitmix64(5, 9 << 20));
    truncateSync(path, sizeBytes);
    return path;
  }

  it("row 15: comes back to the byte, holes too, in the image that is there", async () => {
    const path = makeImage();
    const backup = await backupVeleroVolume(repository, path, block);
    expect(backup).toMatchObject({ totalBytes: sizeBytes, isEmpty: false });
    expect(backup.incrementalBytes).toBeLessThan(10 << 20);
    const target = join(folder, "target");
    writeFileSync(target, splitmix64(6, sizeBytes + 4096));
    const tail = readFileSync(target).subarray(sizeBytes);
    const { totalBytes } = await restoreVeleroVolume(repository, backup.snapshot.id, target, {
      volumeMode: "Block",
    });
    expect(totalBytes).toBe(sizeBytes);
    const restored = readFileSync(target);
    expect(Buffer.compare(restored.subarray(0, sizeBytes), readFileSync(path))).toBe(0);
    // A larger device keeps what lies beyond.
    expect(Buffer.compare(restored.subarray(sizeBytes), tail)).toBe(0);
  });

  it("row 88: a target that is too small is refused untouched", async () => {
    const { snapshot } = await backupVeleroVolume(repository, makeImage(), block);
    const target = join(folder, "target");
    writeFileSync(target, "small");
    await expect(
      restoreVeleroVolume(repository, snapshot.id, target, { volumeMode: "Block" }),
    ).rejects.toMatchObject({ code: "DM_VOLUME_TARGET_TOO_SMALL" });
    expect(readFileSync(target, "utf8")).toBe("small");
  });

  it("goes on from where it was stopped, in the same attempt only", async () => {
    const path = makeImage();
    const stop = async (id: string): Promise<void> => {
      const controller = new AbortController();
      const stopped = backupVeleroVolume(repository, path, {
        ...block,
        operation: { id, startedAtNs: 1n },
        stopSignal: controller.signal,
        onProgress: ({ doneBytes }) =>
          doneBytes > 4 << 20 && controller.abort(new Error("drained")),
      });
      await expect(stopped).rejects.toMatchObject({ code: "DM_VELERO_BACKUP_STOPPED" });
    };
    await stop("uid-1");
    const other = await backupVeleroVolume(repository, path, {
      ...block,
      operation: { id: "uid-2", startedAtNs: 1n },
    });
    expect(other.checkpointIds).toEqual([]);
    await stop("uid-3");
    const same = await backupVeleroVolume(repository, path, {
      ...block,
      operation: { id: "uid-3", startedAtNs: 1n },
    });
    expect(same.checkpointIds.length).toBe(1);
    expect(same.incrementalBytes).toBeLessThan(other.incrementalBytes);
    // The root of each has the time of its opening; their data are one object.
    const differences = [];
    for await (const difference of diffTrees(
      repository,
      other.snapshot.rootEntry,
      same.snapshot.rootEntry,
    ))
      differences.push(difference);
    expect(
      differences.flatMap((each) =>
        "contentChanged" in each && each.contentChanged ? [each] : [],
      ),
    ).toEqual([]);
    const target = join(folder, "target");
    writeFileSync(target, new Uint8Array(sizeBytes));
    await restoreVeleroVolume(repository, same.snapshot.id, target, { volumeMode: "Block" });
    expect(Buffer.compare(readFileSync(target), readFileSync(path))).toBe(0);
  });

  it("row 34: an abort saves nothing", async () => {
    const controller = new AbortController();
    const backup = backupVeleroVolume(repository, makeImage(), {
      ...block,
      signal: controller.signal,
      onProgress: () => controller.abort(new Error("canceled")),
    });
    await expect(backup).rejects.toThrow("canceled");
    expect(await snapshots()).toEqual([]);
  });
});

describe("a restore", () => {
  it("row 87: of an unknown snapshot says so", async () => {
    await expect(
      restoreVeleroVolume(repository, "0".repeat(32), folder, { volumeMode: "Filesystem" }),
    ).rejects.toThrow(/^Unable to load snapshot 0{32}/);
  });

  it("goes to a volume that is there, by a link too, and makes none", async () => {
    const path = makeVolume(2);
    const { snapshot } = await backupVeleroVolume(repository, path, options);
    const target = join(folder, "restored");
    symlinkSync("mounted", target);
    const files = { volumeMode: "Filesystem" } as const;
    await expect(restoreVeleroVolume(repository, snapshot.id, target, files)).rejects.toMatchObject(
      {
        code: "ENOENT",
      },
    );
    mkdirSync(join(folder, "mounted"));
    await restoreVeleroVolume(repository, snapshot.id, target, files);
    same(path, join(folder, "mounted"));
  });

  it("lists what the repository has lost", async () => {
    const { snapshot } = await backupVeleroVolume(repository, makeVolume(3), options);
    const store = filesystemStore({ path: join(folder, "store", "kopia", "shop") });
    for await (const { id } of store.list("p")) await store.delete(id);
    const target = join(folder, "restored");
    mkdirSync(target);
    const failure = await restoreVeleroVolume(repository, snapshot.id, target, {
      volumeMode: "Filesystem",
    }).catch((error) => error);
    expect(failure.code).toBe("DM_VELERO_RESTORE_INCOMPLETE");
    expect(failure.message).toContain("sub/f0: ");
  });

  it("row 89: keeps holes when asked to, and writes zeros otherwise", async () => {
    const path = join(folder, "uid-1");
    mkdirSync(path);
    writeFileSync(join(path, "sparse"), splitmix64(1, 4096));
    truncateSync(join(path, "sparse"), 20 << 20);
    const { snapshot } = await backupVeleroVolume(repository, path, options);
    for (const sparse of [true, false]) {
      const target = join(folder, `sparse-${sparse}`);
      mkdirSync(target);
      await restoreVeleroVolume(repository, snapshot.id, target, {
        volumeMode: "Filesystem",
        sparse,
      });
      same(path, target);
      const { blocks } = statSync(join(target, "sparse"));
      if (sparse) expect(blocks * 512).toBeLessThan(2 << 20);
      else expect(blocks * 512).toBeGreaterThanOrEqual(20 << 20);
    }
  });

  it("leaves alone what an earlier run has finished", async () => {
    const path = makeVolume();
    const { snapshot } = await backupVeleroVolume(repository, path, options);
    const target = join(folder, "restored");
    mkdirSync(target);
    const controller = new AbortController();
    const cut = restoreVeleroVolume(repository, snapshot.id, target, {
      volumeMode: "Filesystem",
      parallelFiles: 1,
      signal: controller.signal,
      onProgress: () => controller.abort(new Error("killed")),
    });
    await expect(cut).rejects.toThrow("killed");
    await restoreVeleroVolume(repository, snapshot.id, target, {
      volumeMode: "Filesystem",
      resume: true,
    });
    same(path, target);
  });
});

it("row 62: an S3 server gets it under the namespace's prefix, with the keys of the profile", async () => {
  await using server = await startS3Server({ buckets: ["backups"] });
  const { accessKeyId, secretAccessKey } = server.accessKey;
  const location = {
    provider: "aws",
    config: { s3Url: server.url, region: "us-east-1", profile: "shop" },
    objectStorage: { bucket: "backups", prefix: "velero" },
  };
  const credentials = async (): Promise<string> =>
    `[shop]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`;
  const open = () => openVeleroStore(location, "shop", { credentials });
  const made = await Promise.all(
    [1, 2].map(async () =>
      connectOrCreateVeleroRepository(await open(), { password: "p", deriveKey }),
    ),
  );
  expect(made[0]!.uniqueId).toEqual(made[1]!.uniqueId);
  const { snapshot } = await backupVeleroVolume(made[0]!, makeVolume(3), options);
  const { keys } = server.bucket("backups");
  expect(keys.every((key) => key.startsWith("velero/kopia/shop/"))).toBe(true);
  expect(keys).toContain("velero/kopia/shop/udmrepo.Repository");
  const target = join(folder, "restored");
  mkdirSync(target);
  await restoreVeleroVolume(made[1]!, snapshot.id, target, { volumeMode: "Filesystem" });
  same(join(folder, "uid-1"), target);
  for (const each of made) await each[Symbol.asyncDispose]();
});
