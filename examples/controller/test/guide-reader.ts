/** A reader of the guide: does what a page says, block after block, in a folder of his own, and looks at what is printed. */
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type GuideBlock, guideBlocks, missingLines } from "./guide-pages.ts";

export interface ReaderOptions {
  readonly folder: string;
  readonly environment: NodeJS.ProcessEnv;
  /** What is called otherwise here than on the page. */
  readonly instead?: Readonly<Record<string, string>> | undefined;
  /** Whether the reader carries out a block of commands; others are left to other readers. */
  readonly runs: (block: GuideBlock) => boolean;
  readonly signal: AbortSignal;
}

export interface Done {
  readonly block: GuideBlock;
  readonly printed: string;
}

export async function follow(page: string, options: ReaderOptions): Promise<Done[]> {
  const { environment, folder, instead = {}, runs } = options;
  const here = (text: string): string =>
    Object.entries(instead).reduce((said, [from, to]) => said.replaceAll(from, to), text);
  const exports: string[] = [];
  const done: Done[] = [];
  const blocks = guideBlocks(page);
  mkdirSync(folder, { recursive: true });
  for (const { language, text, words } of blocks)
    if ((language === "yaml" || language === "ini" || language === "json") && words !== "")
      writeHere(join(folder, words), here(text));
  for (const block of blocks) {
    if (block.language !== "sh" || !runs(block)) continue;
    const script = here(block.text);
    const printed = await shell(
      [...exports, script].join("\n"),
      folder,
      environment,
      options.signal,
    ).catch((error: unknown) => {
      throw new Error(`${page}, line ${block.line}: ${error}`, { cause: error });
    });
    exports.push(...script.split("\n").filter((line) => line.startsWith("export ")));
    if (process.env["GUIDE_SHOW"])
      process.stderr.write(`--- ${page}:${block.line}\n${script}>>>\n${printed}`);
    const missing = block.prints === undefined ? [] : missingLines(here(block.prints), printed);
    if (missing.length > 0)
      throw new Error(
        `${page}, line ${block.line}: ${missing.join("\n")}\nit printed:\n${printed}`,
      );
    done.push({ block, printed });
  }
  return done;
}

function writeHere(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

function shell(
  script: string,
  cwd: string,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("bash", ["-e", "-o", "pipefail", "-c", script], {
      cwd,
      env,
      signal,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let printed = "";
    let complaints = "";
    child.stdout.on("data", (data) => {
      printed += data;
    });
    child.stderr.on("data", (data) => {
      complaints += data;
    });
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(printed);
      else reject(new Error(`ended with ${code}\n${script}\n${printed}${complaints}`));
    });
  });
}
