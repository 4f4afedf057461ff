/**
 * A folder as an npm tarball: POSIX ustar under `package/`, gzip. For third-party packages as they lie in
 * `node_modules`; the packages of this workspace are packed by pnpm.
 * @module
 */
import { readFileSync, statSync } from "node:fs";
import { relative } from "node:path";
import { gzipSync } from "node:zlib";
import { filesUnder } from "./workspace.ts";

const blockBytes = 512;

/** One header block. A path of more than 100 bytes is split at a slash, the front going to the prefix field. */
function header(path: string, size: number, executable: boolean): Buffer {
  const block = Buffer.alloc(blockBytes);
  let name = path;
  let prefix = "";
  if (Buffer.byteLength(path) > 100) {
    const slash = path.indexOf("/", path.length - 100);
    if (slash < 0 || slash > 155) throw new Error(`path too long for a tarball: ${path}`);
    prefix = path.slice(0, slash);
    name = path.slice(slash + 1);
  }
  const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, "0");
  block.write(name, 0);
  block.write(`${octal(executable ? 0o755 : 0o644, 7)}\0`, 100);
  block.write(`${octal(0, 7)}\0${octal(0, 7)}\0`, 108);
  block.write(`${octal(size, 11)}\0${octal(499_162_500, 11)}\0`, 124);
  block.write(" ".repeat(8), 148);
  block.write("0", 156);
  block.write("ustar\x0000", 257);
  block.write(prefix, 345);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\0 `, 148);
  return block;
}

export function tarballOf(folder: string): Buffer {
  const parts = filesUnder(folder, () => true, ["node_modules"]).flatMap((path) => {
    const data = readFileSync(path);
    const executable = (statSync(path).mode & 0o111) !== 0;
    const padding = Buffer.alloc((blockBytes - (data.length % blockBytes)) % blockBytes);
    return [header(`package/${relative(folder, path)}`, data.length, executable), data, padding];
  });
  return gzipSync(Buffer.concat([...parts, Buffer.alloc(2 * blockBytes)]), { level: 1 });
}
