/** The program `dm` as the guide calls it, in a folder for `PATH`. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const path = (name: string): string => fileURLToPath(new URL(`../../cli/${name}`, import.meta.url));

/** The built one, or where none is built its source, which starts slowly. */
export function installDm(folder: string): void {
  const program = existsSync(path("dist/dm.js"))
    ? `'${path("dist/dm.js")}'`
    : `--conditions=@dm/source --no-warnings '${path("src/dm.ts")}'`;
  mkdirSync(folder, { recursive: true });
  const script = `#!/bin/sh\nexec '${process.execPath}' ${program} "$@"\n`;
  writeFileSync(`${folder}/dm`, script, { mode: 0o755 });
}
