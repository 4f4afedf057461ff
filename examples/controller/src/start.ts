/**
 * `npm start`: the main job on an embedded cluster, or on one that a kubeconfig names.
 * @module
 */
import { createInterface } from "node:readline/promises";
import { fileURLToPath } from "node:url";
import { builtPrograms } from "./demo/embedded.ts";
import { runDemo } from "./demo/run-demo.ts";
import { createScreen } from "./demo/screen.ts";
import { parseSettings } from "./demo/settings.ts";

const write = (text: string): void => {
  process.stdout.write(text);
};
const settings = parseSettings(process.argv.slice(2), write);
if ("exitCode" in settings) process.exit(settings.exitCode);

const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(name, () => {
    // A terminal that closes may say so several times; who presses Ctrl-C again does not want to wait.
    if (stop.signal.aborted && name !== "SIGHUP") process.exit(1);
    stop.abort(new Error(`interrupted by ${name}`));
  });
// What was the terminal is gone then, and cleaning up does not need it.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

async function confirm(question: string): Promise<boolean> {
  if (!process.stdin.isTTY) return false;
  const asking = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(es)?$/i.test(await asking.question(`${question} (yes/no) `));
  } finally {
    asking.close();
  }
}

try {
  const complete = await runDemo({
    settings,
    screen: createScreen(write, process.stdout.isTTY),
    programs: builtPrograms(),
    // Real files that every machine has: what this project is built with.
    defaultSources: [fileURLToPath(new URL("../../../node_modules/.pnpm", import.meta.url))],
    signal: stop.signal,
    confirm,
  });
  process.exitCode = complete ? 0 : 1;
} catch (error) {
  console.error(`failed: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
