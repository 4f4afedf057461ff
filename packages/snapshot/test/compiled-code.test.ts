// A thread keeps its compiled code where the program that starts it does, and nowhere when the program keeps none. In a
// process of its own, since a cache that is on cannot be turned off again.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "dm-compiled-code-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const compiledCode = new URL("../src/node/compiled-code.ts", import.meta.url).href;
const thread = `
  import { getCompileCacheDir } from "node:module";
  import { parentPort, workerData } from "node:worker_threads";
  const { useCompiledCode } = await import(${JSON.stringify(compiledCode)});
  useCompiledCode(workerData);
  parentPort.postMessage(getCompileCacheDir() ?? "none");`;

/** The folder that a program hands on, and those that it and its thread use. */
function foldersOf(prepare: string): string[] {
  const program = `
    import { once } from "node:events";
    import { enableCompileCache, getCompileCacheDir } from "node:module";
    import { Worker } from "node:worker_threads";
    ${prepare}
    const { compiledCodeFolder } = await import(${JSON.stringify(compiledCode)});
    const thread = new URL("data:text/javascript," + encodeURIComponent(${JSON.stringify(thread)}));
    const worker = new Worker(thread, { workerData: compiledCodeFolder() });
    const [used] = await once(worker, "message");
    const all = [compiledCodeFolder() ?? "none", getCompileCacheDir() ?? "none", used];
    process.stdout.write(JSON.stringify(all));`;
  const { NODE_COMPILE_CACHE, NODE_DISABLE_COMPILE_CACHE, ...env } = process.env;
  const out = execFileSync(process.execPath, ["--input-type=module", "--eval", program], { env });
  return JSON.parse(out.toString()) as string[];
}

it("is kept by a thread where the program keeps it", () => {
  const [handedOn, byProgram, byThread] = foldersOf(
    `enableCompileCache(${JSON.stringify(folder)});`,
  );
  expect(handedOn).toBe(folder);
  expect(byThread).toBe(byProgram);
  expect(readdirSync(folder)).toHaveLength(1);
});

it("is kept by none when the program keeps none", () => {
  expect(foldersOf("")).toEqual(["none", "none", "none"]);
});
