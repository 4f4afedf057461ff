/** The real kopia with a home of its own, and a repository that it has made. */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { requirePeer } from "@dm/fixtures";
import { openRepository, type Repository } from "@dm/repo";
import { filesystemStore } from "@dm/storage/filesystem";

const run = promisify(execFile);

export const kopiaPeer = requirePeer("kopia");

export class KopiaClient implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "dm-kopia-"));
  /** Added to the command line, as another user or host. */
  readonly #flags: readonly string[];

  readonly #timeZone: string;

  constructor(flags: readonly string[] = [], timeZone = "UTC") {
    this.#flags = flags;
    this.#timeZone = timeZone;
  }

  get repositoryPath(): string {
    return join(this.folder, "repository");
  }

  /** Makes the repository, with flags of `repository create`. */
  async create(...parameters: string[]): Promise<void> {
    mkdirSync(this.repositoryPath);
    await this.run(
      "repository",
      "create",
      "filesystem",
      "--path",
      this.repositoryPath,
      ...parameters,
    );
  }

  /** As which user it runs from now on; the folder must be that user's. */
  runAs: { readonly uid: number; readonly gid: number } | undefined;

  /** Its standard output. */
  async run(...parameters: string[]): Promise<string> {
    const flags = ["--no-use-keyring", "--no-progress", "--disable-file-logging"];
    const { stdout } = await run(
      kopiaPeer.path,
      [
        ...flags,
        ...this.#flags,
        `--config-file=${join(this.folder, "kopia.config")}`,
        ...parameters,
      ],
      {
        maxBuffer: 64 << 20,
        ...this.runAs,
        env: {
          HOME: this.folder,
          KOPIA_PASSWORD: "p",
          KOPIA_CHECK_FOR_UPDATES: "false",
          KOPIA_CACHE_DIRECTORY: join(this.folder, "cache"),
          PATH: process.env["PATH"],
          TZ: this.#timeZone,
        },
      },
    );
    return stdout;
  }

  /** Our own view of the same repository. */
  open(): Promise<Repository> {
    return openRepository(filesystemStore({ path: this.repositoryPath }), { password: "p" });
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
