// When this process dies without a word, the watchdog kills what it had been told of, and nothing else.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, expect, it } from "vitest";
import { startWatchdog } from "../../src/kubelet/watchdog.ts";

const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
});

function sleeper(): ChildProcess {
  const child = spawn("sleep", ["600"], { detached: true, stdio: "ignore" });
  children.push(child);
  return child;
}

it("kills at its close what was added and not removed", async () => {
  const watchdog = startWatchdog();
  const [one, two, three] = [sleeper(), sleeper(), sleeper()];
  for (const child of [one, two, three]) watchdog.add(child.pid as number);
  watchdog.remove(two.pid as number);
  const exits = [once(one, "exit"), once(three, "exit")];
  await watchdog.close();
  expect(await Promise.all(exits)).toEqual([
    [null, "SIGKILL"],
    [null, "SIGKILL"],
  ]);
  expect(two.exitCode ?? two.signalCode).toBeNull();
});

it("kills when the process that started it is killed", async () => {
  const victim = sleeper();
  const source = new URL("../../src/kubelet/watchdog.ts", import.meta.url);
  const script = `
    const { startWatchdog } = await import(${JSON.stringify(source.href)});
    const watchdog = startWatchdog();
    watchdog.add(${victim.pid});
    process.stdout.write("ready");
    setInterval(() => {}, 1000);`;
  const owner = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(owner);
  await once(owner.stdout, "data");
  const exit = once(victim, "exit");
  owner.kill("SIGKILL");
  expect(await exit).toEqual([null, "SIGKILL"]);
});

it("does not keep the process alive that it watches", async () => {
  const source = new URL("../../src/kubelet/watchdog.ts", import.meta.url);
  const script = `const { startWatchdog } = await import(${JSON.stringify(source.href)}); startWatchdog();`;
  const owner = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: "inherit",
  });
  children.push(owner);
  expect(await once(owner, "exit")).toEqual([0, null]);
});
