/** A person's editor on a text, until the text is accepted. */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Io } from "./io.ts";

/**
 * Opens `VISUAL`, `EDITOR` or vi on a file with the text; answers what was saved.
 * @param check throws what is wrong with the text; the person may try again
 */
export async function editText(
  io: Io,
  fileName: string,
  text: string,
  check: (edited: string) => void,
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "dm-edit-"));
  try {
    const path = join(folder, fileName);
    await writeFile(path, text, { mode: 0o600 });
    for (;;) {
      await runEditor(io, path);
      const edited = await readFile(path, "utf8");
      try {
        check(edited);
        return edited;
      } catch (error) {
        io.err(`${(error as Error).message}\n`);
        const answer = await io.ask?.("Reopen editor to fix? (Y/n) ");
        if (answer === undefined || /^n/i.test(answer)) throw error;
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function runEditor(io: Io, path: string): Promise<void> {
  const [command, args] = editorOf(io.env["VISUAL"] || io.env["EDITOR"] || "vi");
  const child = spawn(command, [...args, path], { stdio: "inherit", signal: io.signal });
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve();
      else reject(new Error(`the editor ${command} ended with ${code}`));
    });
  });
}

/** `"/path with blanks/editor" --wait`, or words. */
function editorOf(text: string): [command: string, args: string[]] {
  const [, quoted, rest] = /^"([^"]*)"(.*)$/.exec(text) ?? [];
  const words = (quoted === undefined ? text : rest!).split(" ").filter((word) => word !== "");
  if (quoted !== undefined) return [quoted, words];
  return [words[0] ?? "vi", words.slice(1)];
}
