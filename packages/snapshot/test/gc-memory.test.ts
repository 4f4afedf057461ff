// Garbage collection and the full maintenance around it need a few bits for each content, and the index as it is in memory: a
// repository of a million contents, half of them garbage, is collected and maintained below 512 MiB. Each step runs in a process
// of its own, so that its peak memory is its own. In the plain run a smaller repository, whose contents may add 750 bytes each to
// what a hundredth of them takes. About 540 are measured; a collection that also keeps a list of the index entries takes 1,300.
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
const contents = isFull ? 1_000_000 : 200_000;
const fewContents = 2000;
const maxBytesPerContent = 750;

interface Step {
  readonly figures: unknown;
  readonly seconds: number;
  readonly maxRssMiB: number;
}

/** Makes a repository, half of it garbage, and answers what collection and maintenance took. */
async function stepsWith(contents: number): Promise<{ collect: Step; maintain: Step }> {
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
    return { collect, maintain };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

it.skipIf(!runsSources)(
  `${contents} contents are collected and maintained below 512 MiB, and few bytes each${skipped}`,
  { timeout: 600_000 },
  async () => {
    const few = await stepsWith(fewContents);
    const many = await stepsWith(contents);
    for (const task of ["collect", "maintain"] as const) {
      const { maxRssMiB, seconds } = many[task];
      console.log(
        `${contents} contents, half of them garbage: ${task} ${maxRssMiB} MiB, ${seconds} s; ` +
          `${fewContents}: ${few[task].maxRssMiB} MiB`,
      );
      expect(maxRssMiB).toBeLessThan(512);
      const bytes = (maxRssMiB - few[task].maxRssMiB) * 2 ** 20;
      expect(bytes / (contents - fewContents)).toBeLessThan(maxBytesPerContent);
    }
  },
);
