/** The built programs, laid out as the image has them: what the Containerfile copies, in an empty folder. */
import { cpSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Programs } from "../src/demo/embedded.ts";

const project = fileURLToPath(new URL("..", import.meta.url));

/** Carries out the COPY lines of the Containerfile. */
export function layOutImage(folder: string): Programs {
  const text = readFileSync(join(project, "Containerfile"), "utf8");
  const copies = [...text.matchAll(/^COPY (\S+) (\/\S*)$/gm)];
  if (copies.length === 0) throw new Error("the Containerfile copies nothing");
  for (const [, from = "", to = ""] of copies) {
    mkdirSync(join(folder, to), { recursive: true });
    cpSync(join(project, from), join(folder, to), { recursive: true });
  }
  const entry = /^ENTRYPOINT \["node", "(.*)"\]$/m.exec(text)?.[1];
  if (!entry) throw new Error("the Containerfile starts no program of Node");
  return { controller: join(folder, entry), demoPod: join(folder, "app/demo-pod.js") };
}
