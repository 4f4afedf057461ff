/**
 * What the pods of the demo run: they fill a volume, write to it all the time, and list what it holds. Knows nothing of the data
 * mover.
 *
 * `fill --to PATH [--limit BYTES] SOURCE…`, `fill-device --to DEVICE FILE`, `wait`, `receive --to PATH` (from standard input), `write FILE`, `write-once FILE BYTES`, `list PATH`, `check FILE`
 *
 * An application of two programs, with settings in the environment: `serve-database FILE`, `tell-database freeze|thaw|contents|add ROW…`
 * (beside it, in its container), `serve-web GREETING DEVICE`, `get URL`
 * @module
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { checkDatabase, writeDatabase } from "./demo-pod/database.ts";
import { askDatabase, startDatabaseServer } from "./demo-pod/database-server.ts";
import { receiveFiles, sendFiles, sendImage } from "./demo-pod/receive-files.ts";
import { listVolume } from "./demo-pod/volume-list.ts";
import { startWebServer } from "./demo-pod/web-server.ts";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { to: { type: "string", default: "" }, limit: { type: "string", default: "200000000" } },
});
const [task, ...paths] = positionals;
const [path = ""] = paths;

async function print(line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, "drain");
}

async function fillFrom(stream: AsyncIterable<Buffer>): Promise<void> {
  const { bytes, files } = await receiveFiles(stream, values.to);
  await print(`filled: ${files} files, ${bytes} bytes`);
}

const fromEnvironment = (name: string): string => {
  const value = process.env[name];
  if (!value) throw new Error(`the environment has no ${name}`);
  return value;
};
const address = () => ({ host: fromEnvironment("POD_IP"), port: 8080 });

async function untilStopped(server: { readonly url: string; close(): Promise<void> }) {
  await print(`serving ${server.url}`);
  await once(process, "SIGTERM");
  await server.close();
}

const tasks: Record<string, () => Promise<void>> = {
  fill: () => fillFrom(sendFiles(paths, Number(values.limit))),
  "fill-device": () => fillFrom(sendImage(path)),
  /** Until somebody runs `receive` beside it, and the pod is deleted. */
  async wait() {
    await print("waiting");
    const keepAlive = setInterval(() => {}, 60_000);
    await once(process, "SIGTERM");
    clearInterval(keepAlive);
  },
  async receive() {
    await fillFrom(process.stdin);
    process.stdin.destroy();
  },
  async write() {
    const stop = new AbortController();
    process.once("SIGTERM", () => stop.abort());
    await print("writing");
    await print(`written: ${await writeDatabase(path, stop.signal)} rows`);
  },
  async "write-once"() {
    // What is behind them in a device, or in a file that is there, stays.
    await writeFile(path, randomBytes(Number(paths[1])), { flag: existsSync(path) ? "r+" : "w" });
    await print("written");
  },
  async list() {
    for await (const entry of listVolume(path)) await print(JSON.stringify(entry));
  },
  async "serve-database"() {
    const password = fromEnvironment("DATABASE_PASSWORD");
    await untilStopped(await startDatabaseServer({ ...address(), path, password }));
  },
  async "tell-database"() {
    const { host, port } = address();
    const [what = "", ...rows] = paths;
    const [method, to] = what === "contents" ? (["GET", what] as const) : (["POST", what] as const);
    const answer = await askDatabase(
      `http://${host}:${port}`,
      fromEnvironment("DATABASE_PASSWORD"),
      method,
      to === "add" ? "rows" : to,
      to === "add" ? rows.join("\n") : undefined,
    );
    await print(JSON.stringify(answer));
  },
  async "serve-web"() {
    const [greeting = "", device = ""] = paths;
    const password = fromEnvironment("DATABASE_PASSWORD");
    const service = fromEnvironment("DATABASE_SERVICE");
    const kubeconfig = fromEnvironment("KUBECONFIG");
    const options = { ...address(), greeting, device, password, service, kubeconfig };
    await untilStopped(await startWebServer(options));
  },
  async get() {
    const response = await fetch(path);
    await print(await response.text());
    if (!response.ok) process.exitCode = 1;
  },
  async check() {
    await print(`whole: ${await checkDatabase(path)} rows`);
  },
};

const run = tasks[task ?? ""];
if (!run) {
  console.error(`usage: demo-pod ${Object.keys(tasks).join("|")} …`);
  process.exit(2);
}
await run();
