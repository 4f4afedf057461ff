/**
 * The containers of one node: each is a process group of the host, with its output in a file. Like a real runtime it knows
 * nothing of pods' rules and goes on when the kubelet stops; it ends with the node.
 * Proof: test/kubelet/container-runtime.test.ts.
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type Clock, systemClock } from "@dm/core";
import { nowMs } from "../controllers/timestamp.ts";
import type { PathMapping } from "./path-rewriting.ts";
import type { Watchdog } from "./watchdog.ts";

export interface ContainerSpec {
  readonly podUid: string;
  readonly name: string;
  /** 0 for the first start. */
  readonly attempt: number;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  readonly logPath: string;
  /** Where the container finds its termination message on the host. */
  readonly terminationMessagePath: string;
  /** How paths of the container are those of the host. */
  readonly pathMappings: readonly PathMapping[];
  /** PersistentVolumes that it may write to. */
  readonly writableVolumes: readonly string[];
}

export interface ContainerExit {
  readonly exitCode: number;
  readonly signal: number;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  /** `OOMKilled` and such, when who killed it said so. */
  readonly reason?: string | undefined;
  /** Why it never ran. */
  readonly startError?: string | undefined;
}

export interface Container {
  readonly id: string;
  readonly spec: ContainerSpec;
  readonly pid: number | undefined;
  readonly startedAtMs: number;
  readonly exit: ContainerExit | undefined;
  readonly exited: Promise<ContainerExit>;
}

export interface ContainerRuntimeOptions {
  readonly clock: Clock;
  readonly watchdog: Watchdog;
}

/** Like `SIGKILL`, with the number that exit codes are made of. */
const signalNumbers: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
  SIGSTOP: 19,
};

interface Entry {
  id: string;
  spec: ContainerSpec;
  child: ChildProcess | undefined;
  startedAtMs: number;
  exit: ContainerExit | undefined;
  exited: Promise<ContainerExit>;
  killReason: string | undefined;
}

export class ContainerRuntime {
  readonly #clock: Clock;
  readonly #watchdog: Watchdog;
  readonly #entries = new Map<string, Entry>();
  readonly #frozen = new Map<string, { count: number; thawed: Promise<void>; thaw: () => void }>();
  /** Commands that run beside a container (exec, probes), by its id. */
  readonly #companions = new Map<string, Set<ChildProcess>>();

  constructor({ clock, watchdog }: ContainerRuntimeOptions) {
    this.#clock = clock;
    this.#watchdog = watchdog;
  }

  /** All of a pod that are remembered, running or not, in the order of their start. */
  containers(podUid: string): Container[] {
    return [...this.#entries.values()]
      .filter(({ spec }) => spec.podUid === podUid)
      .map((entry) => this.#view(entry));
  }

  /** A container that cannot be started is one that exited with 128. */
  async start(spec: ContainerSpec): Promise<Container> {
    for (const volume of spec.writableVolumes) await this.#frozen.get(volume)?.thawed;
    this.#forgetOld(spec);
    mkdirSync(dirname(spec.logPath), { recursive: true });
    const log = openSync(spec.logPath, "a", 0o640);
    const startedAtMs = nowMs(this.#clock);
    try {
      const child = spawn(spec.argv[0] as string, spec.argv.slice(1), {
        detached: true,
        stdio: ["ignore", log, log],
        env: spec.env,
        cwd: spec.workingDirectory,
      });
      const entry: Entry = {
        id: containerId(spec),
        spec,
        child,
        startedAtMs,
        exit: undefined,
        killReason: undefined,
        exited: new Promise((resolve) => {
          const finish = (exit: ContainerExit): void => {
            entry.exit = exit;
            resolve(exit);
          };
          child.once("error", (error) => {
            if (child.pid !== undefined) return;
            finish({
              exitCode: 128,
              signal: 0,
              startedAtMs,
              finishedAtMs: nowMs(this.#clock),
              reason: "StartError",
              startError: startErrorText(spec.argv[0] as string, error),
            });
          });
          child.once("exit", (code, signal) => {
            const number = signal === null ? 0 : (signalNumbers[signal] ?? 0);
            // A container is over when its first process is.
            killGroup(child, "SIGKILL");
            this.#watchdog.remove(child.pid as number);
            for (const companion of this.#companions.get(entry.id) ?? []) {
              killGroup(companion, "SIGKILL");
            }
            finish({
              exitCode: code ?? 128 + number,
              signal: number,
              startedAtMs,
              finishedAtMs: nowMs(this.#clock),
              reason: entry.killReason,
            });
          });
        }),
      };
      if (child.pid !== undefined) this.#watchdog.add(child.pid);
      this.#entries.set(entry.id, entry);
      if (child.pid === undefined) await entry.exited;
      return this.#view(entry);
    } finally {
      closeSync(log);
    }
  }

  /**
   * SIGTERM reaches the first process only, as in a real container, every other signal the whole group. `reason` is what the
   * exit is to say (`OOMKilled`). False when it does not run.
   */
  signal(id: string, signal: NodeJS.Signals, reason?: string): boolean {
    const entry = this.#entries.get(id);
    if (entry?.child?.pid === undefined || entry.exit !== undefined) return false;
    if (reason !== undefined) entry.killReason = reason;
    if (signal === "SIGTERM") return entry.child.kill("SIGTERM");
    return killGroup(entry.child, signal);
  }

  /** A command beside a container's first process: its own process group, which ends with the container. */
  run(
    container: Container,
    argv: readonly string[],
    options: { readonly stdin: boolean },
  ): ChildProcess {
    const { spec } = container;
    const child = spawn(argv[0] as string, argv.slice(1), {
      detached: true,
      stdio: [options.stdin ? "pipe" : "ignore", "pipe", "pipe"],
      env: spec.env,
      cwd: spec.workingDirectory,
    });
    const { pid } = child;
    if (pid === undefined) return child;
    this.#watchdog.add(pid);
    let companions = this.#companions.get(container.id);
    if (companions === undefined) {
      companions = new Set();
      this.#companions.set(container.id, companions);
    }
    companions.add(child);
    child.once("exit", () => {
      companions.delete(child);
      this.#watchdog.remove(pid);
      killGroup(child, "SIGKILL");
    });
    return child;
  }

  /** Kills all of a pod and waits until they are gone, then forgets them. */
  async remove(podUid: string): Promise<void> {
    const entries = [...this.#entries.values()].filter(({ spec }) => spec.podUid === podUid);
    for (const entry of entries) this.signal(entry.id, "SIGKILL");
    for (const entry of entries) {
      await entry.exited;
      this.#entries.delete(entry.id);
      this.#companions.delete(entry.id);
    }
  }

  /** Pods that have containers here. */
  podUids(): Set<string> {
    return new Set([...this.#entries.values()].map(({ spec }) => spec.podUid));
  }

  /** The node lost its power: everything is killed and forgotten. */
  async killAll(): Promise<void> {
    for (const uid of this.podUids()) await this.remove(uid);
  }

  /** See `VolumeWriters`. */
  async freeze(volumeName: string): Promise<() => void> {
    let state = this.#frozen.get(volumeName);
    if (state === undefined) {
      let thaw = (): void => {};
      const thawed = new Promise<void>((resolve) => {
        thaw = resolve;
      });
      state = { count: 0, thawed, thaw };
      this.#frozen.set(volumeName, state);
    }
    state.count++;
    const held = state;
    const writers = [...this.#entries.values()].filter(
      ({ spec, exit }) => exit === undefined && spec.writableVolumes.includes(volumeName),
    );
    const children = writers.flatMap(({ id, child }) => [
      ...(child === undefined ? [] : [child]),
      ...(this.#companions.get(id) ?? []),
    ]);
    for (const child of children) killGroup(child, "SIGSTOP");
    await untilStopped(new Set(children.flatMap(({ pid }) => pid ?? [])));
    let released = false;
    return () => {
      if (released) return;
      released = true;
      held.count--;
      if (held.count > 0) return;
      this.#frozen.delete(volumeName);
      for (const child of children) killGroup(child, "SIGCONT");
      held.thaw();
    };
  }

  /** The last attempt stays known beside the new one. */
  #forgetOld({ podUid, name, attempt }: ContainerSpec): void {
    for (const [id, { spec }] of this.#entries) {
      if (spec.podUid !== podUid || spec.name !== name || spec.attempt >= attempt - 1) continue;
      this.#entries.delete(id);
      this.#companions.delete(id);
    }
  }

  #view(entry: Entry): Container {
    return {
      id: entry.id,
      spec: entry.spec,
      pid: entry.child?.pid,
      startedAtMs: entry.startedAtMs,
      get exit() {
        return entry.exit;
      },
      exited: entry.exited,
    };
  }
}

function containerId({ podUid, name, attempt }: ContainerSpec): string {
  return `process://${podUid}/${name}/${attempt}`;
}

function startErrorText(program: string, error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  const why = code === "ENOENT" ? "executable file not found" : error.message;
  return `failed to start container: exec: "${program}": ${why}`;
}

function killGroup({ pid }: ChildProcess, signal: NodeJS.Signals): boolean {
  if (pid === undefined) return false;
  try {
    process.kill(-pid, signal);
    return true;
  } catch {
    return false;
  }
}

/**
 * A stop is only asked for by the signal: a write that is under way ends first. On Linux the state of every thread tells; where
 * there is no /proc, a moment has to do.
 */
async function untilStopped(processGroups: ReadonlySet<number>): Promise<void> {
  if (processGroups.size === 0) return;
  if (process.platform !== "linux") {
    await systemClock.sleep(20);
    return;
  }
  for (let attempt = 0; attempt < 200; attempt++) {
    if (await allStopped(processGroups)) return;
    await systemClock.sleep(1 + attempt / 10);
  }
}

async function allStopped(processGroups: ReadonlySet<number>): Promise<boolean> {
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const stat = await readStat(`/proc/${pid}/stat`);
    if (stat === undefined || !processGroups.has(stat.group)) continue;
    for (const thread of await readdir(`/proc/${pid}/task`).catch(() => [])) {
      const one = await readStat(`/proc/${pid}/task/${thread}/stat`);
      if (one !== undefined && !"TtZX".includes(one.state)) return false;
    }
  }
  return true;
}

async function readStat(path: string): Promise<{ state: string; group: number } | undefined> {
  try {
    const text = await readFile(path, "latin1");
    // The name in parentheses may hold anything.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0] as string, group: Number(fields[2]) };
  } catch {
    return undefined;
  }
}
