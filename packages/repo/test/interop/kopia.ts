/** The real kopia as a child process, with its files in a folder of its own and the password in the environment. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newCachingSettings, writeClientConfig } from "../../src/client/index.ts";

export const password = "correct horse battery staple";

export interface KopiaResult {
  readonly stdout: string;
  readonly stdoutBytes: Uint8Array;
  readonly stderr: string;
}

/** One connection of the real program; its files are removed with it. */
export class Kopia implements AsyncDisposable {
  readonly folder: string;
  readonly repositoryPath: string;
  /** What it is told in the environment. */
  password = password;
  readonly #program: string;

  private constructor(program: string, folder: string) {
    this.#program = program;
    this.folder = folder;
    this.repositoryPath = join(folder, "repository");
  }

  static async inNewFolder(program: string): Promise<Kopia> {
    const kopia = new Kopia(program, await mkdtemp(join(tmpdir(), "dm-interop-")));
    await mkdir(kopia.repositoryPath);
    return kopia;
  }

  get configPath(): string {
    return join(this.folder, "config/repository.config");
  }

  /** Connects by a configuration file that we wrote. */
  async connectByOurConfig(): Promise<void> {
    await writeClientConfig(this.configPath, {
      storage: { type: "filesystem", config: { path: this.repositoryPath, dirShards: null } },
      caching: newCachingSettings({
        configPath: this.configPath,
        uniqueId: new Uint8Array(32),
        cacheDirectory: join(this.folder, "cache"),
      }),
      hostname: "interop",
      username: "tester",
      enableActions: false,
      formatBlobCacheDuration: 900_000_000_000,
    });
  }

  /** Removes its caches: the next command sees what other clients wrote meanwhile, as a new client would. */
  async forget(): Promise<void> {
    await rm(join(this.folder, "cache"), { recursive: true, force: true });
  }

  /** `content verify --full`, which must find all contents and nothing wrong; answers how many it read. */
  async verifyContents(): Promise<number> {
    const { stderr } = await this.run("content", "verify", "--full");
    const text = /verifyCounters:\s*(\{.*\})/.exec(stderr)?.[1];
    if (!text) throw new Error(`no counters in ${stderr}`);
    const counters: Record<string, number> = JSON.parse(text);
    if (counters["totalErrorCount"] !== 0) throw new Error(text);
    if (counters["verifiedContents"] !== counters["readContents"]) throw new Error(text);
    return counters["readContents"] ?? 0;
  }

  /** Ids of all contents that `index inspect --all` prints, each as often as an index blob names it. */
  async inspectIndexes(): Promise<string[]> {
    const { stdout } = await this.run("index", "inspect", "--all");
    const lines = stdout.split("\n").filter((line) => line.trim() !== "");
    return lines.map((line) => {
      const id = / (\w+) (?:created|deleted) /.exec(line)?.[1];
      if (!id) throw new Error(`not a line of an index: ${line}`);
      return id;
    });
  }

  /** @throws {Error} with everything it printed, when it does not exit with 0 */
  run(...parameters: readonly string[]): Promise<KopiaResult> {
    const flags = [
      "--disable-file-logging",
      "--disable-content-log",
      "--no-use-keyring",
      "--no-progress",
      `--config-file=${this.configPath}`,
      `--log-dir=${join(this.folder, "logs")}`,
    ];
    const child = spawn(this.#program, [...flags, ...parameters], {
      env: {
        HOME: this.folder,
        PATH: process.env["PATH"],
        KOPIA_PASSWORD: this.password,
        KOPIA_CHECK_FOR_UPDATES: "false",
        KOPIA_DANGEROUS_COMMANDS: "enabled",
        KOPIA_CACHE_DIRECTORY: join(this.folder, "cache"),
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    return finished(child, parameters);
  }

  async json<T>(...parameters: readonly string[]): Promise<T> {
    return JSON.parse((await this.run(...parameters, "--json")).stdout) as T;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

function finished(child: ChildProcess, parameters: readonly string[]): Promise<KopiaResult> {
  return new Promise((resolve, reject) => {
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout?.on("data", (piece: Buffer) => stdout.push(piece));
    child.stderr?.on("data", (piece: Buffer) => stderr.push(piece));
    child.on("error", reject);
    child.on("close", (code) => {
      const stdoutBytes = Buffer.concat(stdout);
      const result = {
        stdout: stdoutBytes.toString(),
        stdoutBytes,
        stderr: Buffer.concat(stderr).toString(),
      };
      if (code === 0) resolve(result);
      else {
        const command = parameters.join(" ");
        reject(new Error(`kopia ${command} ended with ${code}\n${result.stdout}${result.stderr}`));
      }
    });
  });
}
