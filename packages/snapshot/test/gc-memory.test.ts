// Garbage collection and the full maintenance around it need a few bits for each content, and the index as it is in memory: a
// repository of a million contents, half of them garbage, is collected and maintained below 512 MiB. Each step runs in a process
// of its own, so that its peak memory is its own. A smaller repository in the plain run.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const run = promisify(execFile);
const child = join(import.meta.dirname, "gc-memory-child.ts");
const isFull = Boolean(process.env["DM_FULL"]);

/** The child runs sources as they stand, and these say `await using`, which no Node before 24 understands. */
const runsSources = Number(process.versions.node.split(".")[0]) >= 24;
const skipped = runsSources ? "" : " (skipped: this Node runs no source with `using`)";
const contents = isFull ? 1_000_000 : 40_000;

interface Step {
  readonly figures: unknown;
  readonly seconds: number;
  readonly maxRssMiB: number;
}

it.skipIf(!runsSources)(
  `${contents} contents are collected and maintained below 512 MiB${skipped}`,
  { timeout: 600_000 },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "dm-gc-"));
    try {
      const step = async (task: string): Promise<Step> => {
        const flags = ["--conditions=@dm/source", "--no-warnings"];
        const { stdout } = await run(process.execPath, [
          ...flags,
          child,
          folder,
          `${contents}`,
          task,
        ]);
        return JSON.parse(stdout) as Step;
      };
      await step("make");
      const collect = await step("collect");
      // Half of the files' contents, and half of the directories.
      const garbage = contents / 2 + contents / 2000;
      expect(collect.figures).toMatchObject({
        deletedContentCount: garbage,
        inUseContentCount: garbage + 1,
      });
      const maintain = await step("maintain");
      expect(maintain.figures).toContainEqual({
        name: "full-drop-deleted-content",
        contentsDropped: garbage,
      });
      console.log(
        `${contents} contents, half of them garbage: collection ${collect.maxRssMiB} MiB, ${collect.seconds} s; ` +
          `full maintenance ${maintain.maxRssMiB} MiB, ${maintain.seconds} s`,
      );
      expect(Math.max(collect.maxRssMiB, maintain.maxRssMiB)).toBeLessThan(512);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
