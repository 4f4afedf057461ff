// A tree is streamed: memory does not grow with the number of its files, and directories of 100,000 entries are no trouble.
// A process of its own makes the tree up while it is read, so that its peak memory is the upload's.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const run = promisify(execFile);
const child = join(import.meta.dirname, "upload-many-child.ts");
const isFull = Boolean(process.env["DM_FULL"]);

interface Figures {
  readonly runs: readonly { readonly files: number; readonly cachedFiles: number }[];
  readonly maxRssMiB: number;
}

async function upload(files: number, filesPerDirectory: number, megabytes?: number) {
  const flags = ["--conditions=@dm/source", "--no-warnings"];
  if (megabytes) flags.push(`--max-old-space-size=${megabytes}`);
  const { stdout } = await run(process.execPath, [
    ...flags,
    child,
    `${files}`,
    `${filesPerDirectory}`,
  ]);
  const figures = JSON.parse(stdout) as Figures;
  const [first, second] = figures.runs;
  expect(first).toMatchObject({ files, cachedFiles: 0 });
  expect(second).toMatchObject({ files, cachedFiles: files });
  console.log(`${files} files, ${filesPerDirectory} in a directory: ${figures.maxRssMiB} MiB`);
  return figures.maxRssMiB;
}

/** The child runs sources as they stand, and these say `await using`, which no Node before 24 understands. */
const runsSources = Number(process.versions.node.split(".")[0]) >= 24;
const skipped = runsSources ? "" : " (skipped: this Node runs no source with `using`)";
const many = isFull ? 1_000_000 : 50_000;
const together = isFull ? 100_000 : 30_000;
const heap = isFull ? 150 : 100;

it.skipIf(!runsSources)(
  `${many} files in directories of 100 stay under 512 MiB${skipped}`,
  { timeout: 300_000 },
  async () => {
    expect(await upload(many, 100)).toBeLessThan(512);
  },
);

it.skipIf(!runsSources)(
  `a directory of ${together} files needs no more than ${heap} MiB of heap${skipped}`,
  { timeout: 60_000 },
  async () => {
    expect(await upload(together, together, heap)).toBeLessThan(512);
  },
);
