// The real kopia on a repository that only this program has made and written: it connects with the common password, prints the
// algorithms that were asked for, lists snapshots with Velero's tags, verifies and restores them, and runs maintenance as the owner.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { splitmix64 } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import {
  backupVeleroVolume,
  connectOrCreateVeleroRepository,
  openVeleroStore,
  restoreVeleroVolume,
} from "../src/velero/index.ts";
import { KopiaClient, kopiaPeer } from "./kopia-client.ts";

const location = (fspath: string) => ({ provider: "fs", config: { fspath } });

describe.skipIf(!kopiaPeer.available)(
  kopiaPeer.title("a repository made in Velero's place"),
  () => {
    it("rows 22, 62, 64: kopia connects, lists, verifies, restores, maintains", {
      timeout: 60_000,
    }, async () => {
      using kopia = new KopiaClient();
      const store = await openVeleroStore(location(kopia.folder), "shop", { create: true });
      await using repository = await connectOrCreateVeleroRepository(store, {
        password: "p",
        format: {
          hash: "BLAKE3-256",
          encryption: "CHACHA20-POLY1305-HMAC-SHA256",
          splitter: "DYNAMIC-8M-RABINKARP",
        },
      });
      const files = join(kopia.folder, "uid-fs");
      mkdirSync(join(files, "sub"), { recursive: true });
      for (let index = 0; index < 20; index++)
        writeFileSync(join(files, "sub", `f${index}`), splitmix64(index + 1, 30_000));
      const image = join(kopia.folder, "uid-block");
      writeFileSync(image, Buffer.concat([splitmix64(77, 5 << 20), Buffer.alloc(7 << 20)]));
      const tags = { "velero.io/async-operation-id": "op-1" };
      const operation = { id: "op-1", startedAtNs: 1n };
      const common = { operation, workers: 0 } as const;
      const ofFiles = await backupVeleroVolume(repository, files, {
        ...common,
        volumeMode: "Filesystem",
        volume: ["shop", "data"],
      });
      const ofBlock = await backupVeleroVolume(repository, image, {
        ...common,
        volumeMode: "Block",
        volume: ["shop", "disk"],
      });

      await kopia.run(
        "repository",
        "connect",
        "filesystem",
        "--path",
        join(kopia.folder, "kopia", "shop"),
        "--override-hostname=default",
        "--override-username=default",
      );
      const status = await kopia.run("repository", "status");
      expect(status).toMatch(/Hash: +BLAKE3-256/);
      expect(status).toMatch(/Encryption: +CHACHA20-POLY1305-HMAC-SHA256/);
      expect(status).toMatch(/Splitter: +DYNAMIC-8M-RABINKARP/);
      expect(status).toMatch(/Format version: +3/);
      const listed = JSON.parse(await kopia.run("snapshot", "list", "--all", "--json"));
      expect(listed.map(({ id }: { id: string }) => id).sort()).toEqual(
        [ofFiles.snapshot.id, ofBlock.snapshot.id].sort(),
      );
      for (const { description, pins, source, tags: found } of listed) {
        expect(source).toMatchObject({ host: "default", userName: "default" });
        expect(source.path).toMatch(/^snapshot-data-upload-download\/kopia\/shop\/(data|disk)$/);
        expect(description).toBe("Kopia Uploader");
        expect(pins).toEqual(["velero-pin"]);
        expect(found).toEqual({
          ...tags,
          "snapshot-requester": "snapshot-data-upload-download",
          "snapshot-uploader": "kopia",
        });
      }
      await kopia.run("snapshot", "verify", "--verify-files-percent=100");
      const contents = JSON.parse(await kopia.run("content", "list", "--json", "--compression"));
      const data = contents.filter(
        ({ contentID }: { contentID: string }) => !/^[g-z]/.test(contentID),
      );
      expect(data.length).toBeGreaterThan(20);
      expect(data.filter(({ compression }: { compression?: number }) => compression)).toEqual([]);

      const restored = join(kopia.folder, "restored");
      await kopia.run("restore", ofFiles.snapshot.id, restored);
      execFileSync("sh", ["-c", 'diff -r --no-dereference "$1" "$2"', "sh", files, restored]);
      await kopia.run("maintenance", "run", "--full");

      // And back: what kopia backs up as this client, a data mover restores.
      await kopia.run("snapshot", "create", files);
      const [theirs] = JSON.parse(await kopia.run("snapshot", "list", files, "--json"));
      const target = join(kopia.folder, "target");
      mkdirSync(target);
      await restoreVeleroVolume(repository, theirs.id, target, { volumeMode: "Filesystem" });
      execFileSync("sh", ["-c", 'diff -r --no-dereference "$1" "$2"', "sh", files, target]);
    });
  },
);
