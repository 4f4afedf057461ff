/** The pods of the demo: copies are whole, limits hold, a database that is written to is whole when it was frozen, else refused. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkDatabase } from "../src/demo-pod/database.ts";
import { askDatabase, startDatabaseServer } from "../src/demo-pod/database-server.ts";
import { receiveFiles, sendFiles, sendImage } from "../src/demo-pod/receive-files.ts";
import { prove } from "../src/proof.ts";
import { listed } from "./listed.ts";

const program = fileURLToPath(new URL("../src/demo-pod.ts", import.meta.url));
let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "dm-demo-pod-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("files through a stream", () => {
  const split = async function* (pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const piece of pieces)
      for (let at = 0; at < piece.length; at += 7) yield piece.subarray(at, at + 7);
  };

  it("arrive with modes, times and links, however the stream is cut", async () => {
    const source = join(folder, "source");
    mkdirSync(join(source, "a/empty"), { recursive: true });
    mkdirSync(join(folder, "volume"));
    writeFileSync(join(source, "a/file"), "text", { mode: 0o600 });
    symlinkSync("a/file", join(source, "link"));
    for (const path of ["a/file", "a/empty", "a", ""]) utimesSync(join(source, path), 1e9, 1e9);
    lutimesSync(join(source, "link"), 2e9, 2e9);
    const received = await receiveFiles(split(sendFiles([source], 1e9)), join(folder, "volume"));
    expect(received).toEqual({ files: 1, bytes: 4 });
    const [before, after] = [await listed(source), await listed(join(folder, "volume/source"))];
    expect(prove(before, after).differences).toEqual([]);
  });

  it("end at the limit", async () => {
    mkdirSync(join(folder, "source"));
    mkdirSync(join(folder, "volume"));
    for (const name of ["a", "b", "c"]) writeFileSync(join(folder, "source", name), "x".repeat(10));
    const sent = sendFiles([join(folder, "source")], 25);
    expect(await receiveFiles(sent, join(folder, "volume"))).toEqual({ files: 2, bytes: 20 });
  });

  it("go to the beginning of a device", async () => {
    writeFileSync(join(folder, "image"), "image");
    writeFileSync(join(folder, "device"), "0123456789");
    await receiveFiles(sendImage(join(folder, "image")), join(folder, "device"));
    expect(readFileSync(join(folder, "device"), "utf8")).toBe("image56789");
  });

  it("never go outside, and an early end is told", async () => {
    const bad = { path: "../outside", type: "file", mode: 0o600, mtimeMs: 0, size: 1 };
    const text = Buffer.from(JSON.stringify(bad));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(text.length);
    const stream = async function* () {
      yield Buffer.concat([length, text, Buffer.from("x")]);
    };
    await expect(receiveFiles(stream(), folder)).rejects.toThrow("leads outside");
    const cut = async function* () {
      yield length;
    };
    await expect(receiveFiles(cut(), folder)).rejects.toThrow("ended too early");
  });
});

it("a database that was frozen while it was written to is whole, and a torn one is not", async () => {
  const path = join(folder, "live.db");
  const child = spawn(process.execPath, [program, "write", path], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    await once(child.stdout, "data");
    while ((await rowsOf(path)) < 20) await new Promise((done) => setTimeout(done, 20));
    child.kill("SIGSTOP");
    mkdirSync(join(folder, "frozen"));
    for (const name of ["live.db", "live.db-wal"])
      cpSync(join(folder, name), join(folder, "frozen", name));
    child.kill("SIGCONT");
    expect(await checkDatabase(join(folder, "frozen/live.db"))).toBeGreaterThanOrEqual(20);
    child.kill("SIGTERM");
    await once(child, "close");
    expect(child.exitCode).toBe(0);
    expect(await checkDatabase(path)).toBeGreaterThanOrEqual(20);
    truncateSync(path, 5000);
    await expect(checkDatabase(path)).rejects.toThrow();
  } finally {
    child.kill("SIGKILL");
  }
});

async function rowsOf(path: string): Promise<number> {
  return checkDatabase(path).catch(() => 0);
}

describe("a database that is asked", () => {
  const password = "open sesame";
  const start = () =>
    startDatabaseServer({ path: join(folder, "db"), host: "127.0.0.1", port: 0, password });

  it("has its rows in the file when it was frozen, and not before", async () => {
    const server = await start();
    const ask = (method: "GET" | "POST", path: string, body?: string) =>
      askDatabase(server.url, password, method, path, body);
    try {
      await ask("POST", "rows", "one\ntwo");
      const asked = await ask("GET", "contents");
      expect(asked).toMatchObject({ rows: 2, unsaved: 2, frozen: false, freezes: 0 });
      cpSync(join(folder, "db"), join(folder, "early"));
      expect(await ask("POST", "freeze")).toMatchObject({ rows: 2, unsaved: 0, frozen: true });
      cpSync(join(folder, "db"), join(folder, "late"));
      await expect(ask("POST", "rows", "three")).rejects.toThrow("503 the database is frozen");
      await ask("POST", "thaw");
      await ask("POST", "rows", "three");
      expect(await ask("GET", "contents")).toMatchObject({ rows: 3, frozen: false, freezes: 1 });
      const rowsIn = async (name: string): Promise<number> => {
        const path = join(folder, name);
        const other = await startDatabaseServer({ path, host: "127.0.0.1", port: 0, password });
        const contents = await askDatabase(other.url, password, "GET", "contents");
        await other.close();
        if (contents.rows === asked.rows) expect(contents.sha256).toBe(asked.sha256);
        return contents.rows;
      };
      expect(await rowsIn("early")).toBe(0);
      expect(await rowsIn("late")).toBe(2);
    } finally {
      await server.close();
    }
    const again = await start();
    const { rows } = await askDatabase(again.url, password, "GET", "contents");
    await again.close();
    expect(rows).toBe(3);
  });

  it("answers nobody without the password", async () => {
    const server = await start();
    try {
      await expect(askDatabase(server.url, "guess", "GET", "contents")).rejects.toThrow("401");
    } finally {
      await server.close();
    }
  });
});
