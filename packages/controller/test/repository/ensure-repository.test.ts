// Whoever needs a repository finds it by its labels, or makes it, and waits; what will not become Ready is told early.
import { ConflictError, manualClock } from "@dm/core";
import { type BackupRepository, backupRepositoryLabels } from "@dm/crds";
import { expect, it } from "vitest";
import { ensureRepository } from "../../src/repository/ensure-repository.ts";
import type { KubeClient } from "../../src/runtime/kube-client.ts";

const key = { volumeNamespace: "shop", backupStorageLocation: "default" };

/** `looks` are what each list finds; the last one stays. */
function clientOf(looks: BackupRepository[][], created: BackupRepository[] = [], exists = false) {
  let look = 0;
  const client: Pick<KubeClient, "create" | "list"> = {
    async list(_, options = {}) {
      expect(options.labelSelector).toBe(
        Object.entries(backupRepositoryLabels(key))
          .map(([name, value]) => `${name}=${value}`)
          .join(","),
      );
      const items = looks[Math.min(look++, looks.length - 1)] ?? [];
      return { items: items as never[], resourceVersion: "1" };
    },
    async create(_, object) {
      if (exists) throw new ConflictError("DM_KUBE_ALREADY_EXISTS", "it is there");
      created.push(object as never);
      return object;
    },
  };
  return client;
}

const repository = (phase?: string, message = ""): BackupRepository =>
  ({
    metadata: { name: "r" },
    spec: key,
    status: { phase, message },
  }) as unknown as BackupRepository;
const ensure = (client: Pick<KubeClient, "create" | "list">) =>
  ensureRepository(client, {
    ...key,
    namespace: "velero",
    resourceTimeoutMs: 10_000,
    clock: manualClock(0n),
  });

it("finds one that is Ready", async () => {
  const ready = repository("Ready");
  expect(await ensure(clientOf([[ready]]))).toBe(ready);
});

it("makes one, and waits until it is Ready", async () => {
  const created: BackupRepository[] = [];
  const looks = [[], [repository()], [repository("New")], [repository("Ready")]];
  expect((await ensure(clientOf(looks, created))).status?.phase).toBe("Ready");
  expect(created).toMatchObject([
    {
      metadata: { name: "shop-default-kopia", namespace: "velero" },
      spec: { ...key, maintenanceFrequency: "0s", repositoryType: "kopia" },
    },
  ]);
});

it("row 63: somebody else was first with it", async () => {
  const client = clientOf([[], [repository("Ready")]], [], true);
  expect((await ensure(client)).status?.phase).toBe("Ready");
});

it("row 67: NotReady is told at once, with its reason", async () => {
  await expect(ensure(clientOf([[repository("NotReady", "invalid password")]]))).rejects.toThrow(
    "failed to wait BackupRepository, errored early: backup repository is not ready: invalid password",
  );
});

it("waits no longer than the resource timeout", async () => {
  await expect(ensure(clientOf([[repository("New")]]))).rejects.toMatchObject({
    code: "DM_BACKUP_REPOSITORY_NOT_READY",
    message: "failed to wait BackupRepository, timeout exceeded: backup repository not provisioned",
  });
});

it("several with the same labels are an error", async () => {
  await expect(ensure(clientOf([[repository("Ready"), repository("Ready")]]))).rejects.toThrow(
    /^more than one BackupRepository found for workload namespace "shop"/,
  );
});
