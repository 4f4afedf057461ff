/**
 * Two versions of one file, given to a command that compares them, such as `diff -u`. It sees them as `old/<path>` and
 * `new/<path>` in a directory of its own, which is removed afterwards; what is missing is the null device.
 * @module
 */
import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Repository } from "@dm/repo";
import { type Difference, type DirectoryEntry, openFile } from "@dm/snapshot";
import type { CallOptions } from "@dm/storage";

/** @returns what the command printed; its exit code does not count, since `diff` ends with 1 where files differ */
export async function compareFiles(
  repository: Repository,
  { after, before, path }: Pick<Difference, "after" | "before" | "path">,
  command: string,
  options: CallOptions,
): Promise<Uint8Array> {
  const folder = await mkdtemp(join(tmpdir(), "dm-diff-"));
  const write = async (side: string, entry: DirectoryEntry | undefined): Promise<string> => {
    if (!entry) return "/dev/null";
    const name = join(side, innocent(path));
    await mkdir(join(folder, dirname(name)), { recursive: true });
    const object = await openFile(repository, entry, options);
    await pipeline(Readable.from(object.stream(options)), createWriteStream(join(folder, name)));
    return name;
  };
  try {
    const names = [await write("old", before), await write("new", after)];
    const [program = "diff", ...flags] = command.split(" ");
    return await outputOf(program, [...flags, ...names], folder, options);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Names in a snapshot are whatever someone stored: none may lead out of the directory. */
const innocent = (path: string): string =>
  path
    .split("/")
    .map((part) =>
      part === "" || part === "." || part === ".." || part.includes("\0") ? "_" : part,
    )
    .join("/");

async function outputOf(
  program: string,
  args: readonly string[],
  folder: string,
  { signal }: CallOptions,
): Promise<Uint8Array> {
  const child = spawn(program, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"], signal });
  const pieces: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (piece: Buffer) => pieces.push(piece));
  await new Promise((done, failed) => {
    child.on("error", failed);
    child.on("close", done);
  });
  return Buffer.concat(pieces);
}
