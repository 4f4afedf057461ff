// Containers as process groups of the host: exits, output, signals, companions, and writers that stand still while a volume is
// copied.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@dm/core";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type Container, ContainerRuntime } from "../../src/kubelet/container-runtime.ts";
import { startWatchdog, type Watchdog } from "../../src/kubelet/watchdog.ts";

let directory: string;
let watchdog: Watchdog;
let runtime: ContainerRuntime;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "dm-runtime-"));
  watchdog = startWatchdog();
  runtime = new ContainerRuntime({ clock: systemClock, watchdog });
});

afterEach(async () => {
  await runtime.killAll();
  await watchdog.close();
  await rm(directory, { recursive: true });
});

const start = (script: string, extra: object = {}): Promise<Container> =>
  runtime.start({
    podUid: "pod-1",
    name: "main",
    attempt: 0,
    argv: ["/bin/sh", "-c", script],
    env: { PATH: process.env["PATH"] ?? "", A: "1" },
    workingDirectory: directory,
    logPath: join(directory, "logs/main/0.log"),
    terminationMessagePath: join(directory, "message"),
    pathMappings: [],
    writableVolumes: [],
    ...extra,
  });

const log = (): Promise<string> => readFile(join(directory, "logs/main/0.log"), "utf8");

async function untilLog(satisfies: (text: string) => boolean): Promise<string> {
  for (;;) {
    const text = await log();
    if (satisfies(text)) return text;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

it("runs in its directory and environment, and keeps output and exit", async () => {
  const container = await start('echo "$A $PWD"; echo err >&2; exit 4');
  expect(container.pid).toBeGreaterThan(0);
  expect(await container.exited).toMatchObject({ exitCode: 4, signal: 0, reason: undefined });
  expect(await log()).toBe(`1 ${directory}\nerr\n`);
  expect(runtime.containers("pod-1")).toMatchObject([{ exit: { exitCode: 4 } }]);
  expect(runtime.signal(container.id, "SIGKILL")).toBe(false);
});

it("tells why a program cannot be started", async () => {
  const container = await start("", { argv: ["no-such-program"] });
  expect(container.exit).toMatchObject({
    exitCode: 128,
    reason: "StartError",
    startError: 'failed to start container: exec: "no-such-program": executable file not found',
  });
});

it("remembers the last two attempts", async () => {
  for (let attempt = 0; attempt < 4; attempt++) await (await start("true", { attempt })).exited;
  expect(runtime.containers("pod-1").map(({ spec }) => spec.attempt)).toEqual([2, 3]);
});

it("asks the first process, and kills all", async () => {
  const container = await start('trap "echo asked" TERM; sleep 600 & while :; do sleep 0.01; done');
  await untilLog(() => true);
  runtime.signal(container.id, "SIGTERM");
  // Whether the trap was set in time or not, the first word or the end comes of the request.
  await Promise.race([untilLog((text) => text.includes("asked")), container.exited]);
  runtime.signal(container.id, "SIGKILL", "OOMKilled");
  const exit = await container.exited;
  if (exit.exitCode === 137) expect(exit.reason).toBe("OOMKilled");
  await runtime.remove("pod-1");
  expect(runtime.podUids().size).toBe(0);
});

it("ends companions with the container", async () => {
  const container = await start("exec sleep 600");
  const companion = runtime.run(container, ["sleep", "600"], { stdin: false });
  const ended = new Promise((resolve) =>
    companion.once("exit", (_code, signal) => resolve(signal)),
  );
  runtime.signal(container.id, "SIGKILL");
  expect(await ended).toBe("SIGKILL");
});

it("freezes the writers of a volume and nobody else", async () => {
  // The shell's own counter in files: each is written anew as long as the process runs.
  const count = (name: string): string =>
    `i=0; while :; do i=$((i+1)); echo $i > ${name}.new; mv ${name}.new ${name}; sleep 0.001; done`;
  await start(count("writer"), { writableVolumes: ["pv-1"] });
  await start(count("other"), { podUid: "pod-2", writableVolumes: ["pv-2"] });
  const read = async (name: string): Promise<number> =>
    Number(await readFile(join(directory, name), "utf8").catch(() => "0"));
  const untilMore = async (name: string, than: number): Promise<void> => {
    while ((await read(name)) <= than) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  await untilMore("writer", 0);
  const thaw = await runtime.freeze("pv-1");
  const frozenAt = await read("writer");
  await untilMore("other", (await read("other")) + 5);
  expect(await read("writer")).toBe(frozenAt);

  // Two may freeze: it goes on when the last has thawed. A start meanwhile waits.
  const thawSecond = await runtime.freeze("pv-1");
  let started = false;
  const late = start("true", { name: "late", writableVolumes: ["pv-1"] }).then((container) => {
    started = true;
    return container;
  });
  thaw();
  thaw();
  await untilMore("other", (await read("other")) + 5);
  expect(await read("writer")).toBe(frozenAt);
  expect(started).toBe(false);
  thawSecond();
  await untilMore("writer", frozenAt);
  expect((await (await late).exited).exitCode).toBe(0);
});

it("can kill what is frozen", async () => {
  const container = await start("exec sleep 600", { writableVolumes: ["pv-1"] });
  const thaw = await runtime.freeze("pv-1");
  runtime.signal(container.id, "SIGKILL");
  expect((await container.exited).exitCode).toBe(137);
  thaw();
});
