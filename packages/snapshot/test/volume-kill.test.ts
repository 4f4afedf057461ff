// A process that is killed (SIGKILL) while it backs a volume up, or restores one to an image: what is listed verifies, the next
// backup goes on behind the last checkpoint and makes the same object; a restored image has its name when it is whole and not
// before, and the next restore finishes it. A seeded sample here, every moment with DM_FULL=1.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom, splitmix64 } from "@dm/fixtures";
import { createRepository, openRepository } from "@dm/repo";
import { filesystemStore } from "@dm/storage/filesystem";
import { afterAll, describe, expect, it } from "vitest";
import { uploadVolume } from "../src/index.ts";
import { restoreVolume } from "../src/node/index.ts";
import { killEverywhere, totals } from "./killed/everywhere.ts";
import { deathsOf, isFull, runChild, runsSources, seed, skipped } from "./killed/run-child.ts";
import { volumeFigures, volumes } from "./killed/scenarios.ts";
import { memoryVolume } from "./volume-in-memory.ts";

const restores = { kills: 0, byChance: 0, keptBytes: 0 };
const child = join(import.meta.dirname, "killed/restore-volume-child.ts");
const common = { password: "p", deriveKey: async () => new Uint8Array(32).fill(9) };
const source = { host: "h", userName: "u", path: "/p" };

afterAll(() => {
  console.log(
    `uploads of a volume killed: ${totals.kills} times, ${totals.byChance} of them by chance; ` +
      `${totals.snapshotsVerified} snapshots verified, ${volumeFigures.keptBytes} bytes not read again; ` +
      `restores of it killed: ${restores.kills} times, ${restores.byChance} by chance, ` +
      `${restores.keptBytes} bytes not written again (DM_SEED=${seed})`,
  );
});

describe.skipIf(!runsSources)(`killed at any moment${skipped}`, () => {
  it("upload of a volume", { timeout: 1_800_000 }, () =>
    killEverywhere(volumes, { moments: 2, byChance: isFull ? 20 : 1 }),
  );

  it("restore of a volume to an image", { timeout: 1_800_000 }, async () => {
    const random = seededRandom(seed);
    const folder = mkdtempSync(join(tmpdir(), "dm-kill-volume-"));
    try {
      const path = join(folder, "repository");
      mkdirSync(path);
      const bytes = new Uint8Array(6_000_000);
      bytes.set(splitmix64(1, 2_500_000));
      bytes.set(splitmix64(2, 1_500_000), 4_000_000);
      const format = { splitter: "FIXED-256K" } as const;
      await using repository = await createRepository(filesystemStore({ path }), {
        ...common,
        format,
      });
      const { snapshot } = await uploadVolume(repository, memoryVolume(bytes), {
        source,
        name: "/dev/vdb",
        openedAtNs: 1n,
      });
      await using reader = await openRepository(filesystemStore({ path }), common);
      const values = (target: string, moment: number) => [
        path,
        snapshot.rootEntry.objectId,
        target,
        `${moment}`,
      ];
      const uncut = join(folder, "uncut");
      const whole = await runChild(child, values(uncut, 0));
      expect(Buffer.compare(readFileSync(uncut), bytes)).toBe(0);
      expect(whole.moments).toBeGreaterThan(30);
      const deaths = deathsOf(whole, { moments: 2, byChance: isFull ? 20 : 1 }, random);
      for (const [index, { afterMs, moment }] of deaths.entries()) {
        const target = join(folder, `${index}.img`);
        const { killed } = await runChild(child, values(target, moment), { afterMs });
        if (moment > 0) expect([moment, killed]).toEqual([moment, true]);
        if (killed) {
          restores.kills += 1;
          if (moment === 0) restores.byChance += 1;
        }
        // Under its name it is whole.
        if (existsSync(target)) expect(Buffer.compare(readFileSync(target), bytes)).toBe(0);
        const report = await restoreVolume(reader, snapshot.rootEntry, target, { resume: true });
        expect(report).toMatchObject({ ok: true, losses: [], path: target });
        restores.keptBytes += report.keptBytes;
        expect(Buffer.compare(readFileSync(target), bytes)).toBe(0);
        expect(readdirSync(folder).filter((name) => name.endsWith(".partial"))).toEqual([]);
        rmSync(target);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
