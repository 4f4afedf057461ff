// A process that writes is killed at a random moment, many times: whatever it had acknowledged is there, whole; whatever is
// listed is whole; and what it left behind disturbs nobody. What a power failure does to a disk is not shown by this:
// test/filesystem-calls.test.ts shows that every sync is made, in the order that a power failure asks for.
import { spawn } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "@dm/fixtures";
import { afterAll, expect, it } from "vitest";
import { filesystemStore } from "../src/filesystem.ts";

const base = await mkdtemp(join(tmpdir(), "dm-storage-put-kill-"));
afterAll(() => rm(base, { recursive: true, force: true }));

const full = process.env["DM_FULL"] === "1";
const rounds = full ? 200 : 12;
const seed = Number(process.env["DM_SEED"] ?? Date.now() % 2 ** 31);

// Each blob repeats one byte, the last of its version; four writers at once, some replacing, some under ifAbsent.
const child = `
  import { writeSync } from "node:fs";
  import { filesystemStore } from "@dm/storage/filesystem";
  const [path, round] = process.argv.slice(1);
  const store = filesystemStore({ path, create: true });
  writeSync(1, "ready\\n");
  const writer = async (name) => {
    for (let version = 1; ; version++) {
      const fixed = "p" + name + "fixed".padEnd(40, "0");
      const fresh = "q" + name + "-" + round + "-" + String(version).padStart(40, "0");
      await store.put(fixed, new Uint8Array(300_000 + version).fill(version));
      writeSync(1, fixed + " " + (300_000 + version) + "\\n");
      await store.put(fresh, new Uint8Array(50_000 + version).fill(version), { ifAbsent: version % 2 === 0 });
      writeSync(1, fresh + " " + (50_000 + version) + "\\n");
    }
  };
  await Promise.all(["a", "b", "c", "d"].map(writer));
`;

/**
 * Runs the writer, kills it `afterMs` after it has acknowledged `afterPuts` puts, and answers everything that it had
 * acknowledged: length by id.
 */
function writeAndKill(
  path: string,
  round: number,
  { afterMs, afterPuts }: { readonly afterPuts: number; readonly afterMs: number },
): Promise<Map<string, number>> {
  return new Promise((resolve, reject) => {
    const flags = ["--conditions=@dm/source", "--input-type=module", "-e", child, path];
    const running = spawn(process.execPath, [...flags, String(round)], {
      cwd: import.meta.dirname,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    let stopping = false;
    running.stdout.on("data", (chunk) => {
      output += chunk;
      if (stopping || output.split("\n").length - 2 < afterPuts) return;
      stopping = true;
      setTimeout(() => running.kill("SIGKILL"), afterMs);
    });
    running.on("close", (_code, signal) => {
      if (signal !== "SIGKILL") return reject(new Error("the writer ended by itself"));
      // The last line may have been cut.
      const lines = output.split("\n").slice(1, -1);
      resolve(new Map(lines.map((line) => [line.split(" ")[0]!, Number(line.split(" ")[1])])));
    });
  });
}

it(`${rounds} writers killed (DM_SEED=${seed})`, { timeout: 30_000 + rounds * 2000 }, async () => {
  const random = seededRandom(seed);
  const path = join(base, "store");
  const acknowledged = new Map<string, number>();
  for (let round = 0; round < rounds; round++) {
    const told = await writeAndKill(path, round, {
      afterPuts: random.integer(16),
      afterMs: random.integer(20),
    });
    for (const [id, length] of told) {
      // A fixed id may since have got a later version; a new process starts at 1 again.
      if (id.startsWith("q")) acknowledged.set(id, length);
    }
    const store = filesystemStore({ path });
    const listed = new Map<string, number>();
    for await (const { id, length } of store.list("")) listed.set(id, length);
    for (const [id, length] of acknowledged) expect(listed.get(id), id).toBe(length);
    for (const [id, length] of told) expect(listed.get(id) ?? 0, id).toBeGreaterThanOrEqual(length);
    for (const [id, length] of listed) {
      // Blobs of earlier rounds cannot have changed, except the fixed ones.
      if (id.startsWith("q") && !id.includes(`-${round}-`)) continue;
      const bytes = await store.get(id);
      const version = length - (id.startsWith("p") ? 300_000 : 50_000);
      expect(bytes.length, id).toBe(length);
      expect(version, id).toBeGreaterThan(0);
      expect(Buffer.alloc(length, version & 0xff).equals(bytes), id).toBe(true);
    }
  }
  expect(acknowledged.size).toBeGreaterThan(rounds / 2);
  const names = await readdir(path, { recursive: true });
  const leftovers = names.filter((name) => /\.tmp\.[0-9a-f]{16}$/.test(name)).length;
  console.log(
    `${rounds} kills, ${acknowledged.size} puts acknowledged and there, ${leftovers} temporary files left`,
  );
});
