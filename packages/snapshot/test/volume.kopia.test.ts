// The real kopia makes the same object of an image file, holes read and all, as we do of the volume without reading them; it
// verifies our snapshots of volumes and gives their bytes back; and we go on from its object by what has changed.
import { createHash } from "node:crypto";
import {
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { splitmix64 } from "@dm/fixtures";
import { afterAll, describe, expect, it } from "vitest";
import { openSnapshot, uploadVolume, volumeFile } from "../src/index.ts";
import { createDataPlane, openVolume, restoreVolume } from "../src/node/index.ts";
import { KopiaClient, kopiaPeer } from "./kopia-client.ts";

const folder = mkdtempSync(join(tmpdir(), "dm-volume-kopia-"));
afterAll(() => rmSync(folder, { recursive: true }));
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe.skipIf(!kopiaPeer.available)(kopiaPeer.title("kopia and volumes"), () => {
  it.each(["DYNAMIC-4M-BUZHASH", "DYNAMIC-1M-RABINKARP", "FIXED-2M"])(
    "%s: the same objects in both directions",
    async (splitter) => {
      using client = new KopiaClient();
      await client.create(`--object-splitter=${splitter}`);
      const image = join(folder, `${splitter}.img`);
      const fd = openSync(image, "w");
      truncateSync(image, (90 << 20) + 12_345);
      writeSync(fd, splitmix64(1, 9_000_001), 0, 9_000_001, 1 << 20);
      writeSync(fd, splitmix64(2, 5000), 0, 5000, 70_000_001);

      const json = await client.run("snapshot", "create", "--json", image);
      const theirs = JSON.parse(json);
      await using repository = await client.open();
      const source = { host: "h", userName: "u", path: image };
      const backUp = async (changes?: readonly { start: number; length: number }[]) => {
        await using volume = await openVolume(image);
        await using session = await repository.openWriteSession();
        await using dataPlane = createDataPlane(session, { workers: 1 });
        const { openedAtNs, path: name } = volume;
        const baseObjectId: string = theirs.rootEntry.obj;
        const changedBlocks = changes && { baseObjectId, ranges: changes };
        const made = await uploadVolume(session, volume, {
          source,
          name,
          openedAtNs,
          dataPlane,
          changedBlocks,
        });
        await session.commit();
        const file = await volumeFile(repository, made.snapshot.rootEntry!);
        return { ...made, objectId: file.objectId };
      };
      const ours = await backUp();
      expect(ours.objectId).toBe(theirs.rootEntry.obj);
      expect(ours.volume.readBytes).toBeLessThan(10 << 20);

      writeSync(fd, splitmix64(3, 4096), 0, 4096, 50 << 20);
      const next = await backUp([{ start: 50 << 20, length: 4096 }]);
      expect(next.volume.keptBytes).toBeGreaterThan(70 << 20);
      const again = JSON.parse(await client.run("snapshot", "create", "--json", image));
      expect(next.objectId).toBe(again.rootEntry.obj);

      await client.run("snapshot", "verify", "--verify-files-percent=100", next.snapshot.id);
      const restored = join(folder, `${splitter}.kopia`);
      await client.run("restore", next.objectId, restored);
      expect(sha256(readFileSync(restored))).toBe(sha256(readFileSync(image)));

      await repository.refresh();
      const { rootEntry } = await openSnapshot(repository, again.id);
      const target = join(folder, `${splitter}.dm`);
      writeFileSync(target, "old");
      expect(await restoreVolume(repository, rootEntry!, target)).toMatchObject({ ok: true });
      expect(sha256(readFileSync(target))).toBe(sha256(readFileSync(image)));
    },
    60_000,
  );
});
