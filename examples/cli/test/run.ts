/** Runs command lines in this process, with a home of their own and cheap keys. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toHex } from "@dm/core";
import { derivePasswordKey, hmacSha256 } from "@dm/encryption";
import { type GoldenRepository, loadGolden, writeFiles } from "@dm/fixtures";
import type { DeriveKey } from "@dm/repo";
import type { Io } from "../src/io.ts";
import { main } from "../src/main.ts";

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly bytes: Uint8Array;
  readonly err: string;
}

const derived = new Map<string, Promise<Uint8Array>>();

/** The key derivation takes 0.3 s; commands on one golden repository need the same key. */
const deriveOnce: DeriveKey = (password, options) => {
  const key = `${password}\n${options.algorithm}\n${toHex(options.salt)}`;
  const known = derived.get(key) ?? derivePasswordKey(password, options);
  derived.set(key, known);
  return known;
};

/** For repositories that only these tests open: slow on purpose is of no use here. */
const deriveQuickly: DeriveKey = async (password, { salt }) =>
  hmacSha256(salt, new TextEncoder().encode(password));

export const password = "correct horse battery staple";

/** A user with a home directory, removed at the end. */
export class Home implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "dm-cli-"));
  #deriveKey = deriveQuickly;
  env: Record<string, string | undefined> = {
    KOPIA_PASSWORD: password,
    KOPIA_CONFIG_PATH: join(this.folder, "config/repository.config"),
    XDG_CACHE_HOME: join(this.folder, "cache"),
  };

  /** For repositories that another program opens, too. */
  static withRealKeys(): Home {
    const home = new Home();
    home.#deriveKey = deriveOnce;
    return home;
  }

  get configPath(): string {
    return join(this.folder, "config/repository.config");
  }

  /** What the connection says of its storage. */
  get storage(): { readonly type: string; readonly config: Record<string, unknown> } {
    return JSON.parse(readFileSync(this.configPath, "utf8")).storage;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  async run(line: string | readonly string[], io: Partial<Io> = {}): Promise<Outcome> {
    const pieces: Uint8Array[] = [];
    let err = "";
    const code = await main(typeof line === "string" ? line.split(" ") : line, {
      env: this.env,
      out: async (data) => {
        pieces.push(typeof data === "string" ? new TextEncoder().encode(data) : data.slice());
      },
      err: (text) => {
        err += text;
      },
      readStdin: async () => "",
      askSecret: async () => undefined,
      isTerminal: false,
      signal: new AbortController().signal,
      deriveKey: this.#deriveKey,
      ...io,
    });
    const bytes = Buffer.concat(pieces);
    return { code, bytes, out: bytes.toString("utf8"), err };
  }

  /** Runs a command that must end with 0. */
  async ok(line: string | readonly string[], io: Partial<Io> = {}): Promise<Outcome> {
    const outcome = await this.run(line, io);
    if (outcome.code !== 0)
      throw new Error(`${String(line)} ended with ${outcome.code}\n${outcome.err}`);
    return outcome;
  }

  async json<T>(line: string | readonly string[]): Promise<T> {
    return JSON.parse((await this.ok(line)).out) as T;
  }

  /** Writes a golden repository out and connects to it. */
  async golden(name: string): Promise<GoldenRepository> {
    const golden = loadGolden(name);
    this.#deriveKey = deriveOnce;
    writeFiles(golden.files, this.path(name));
    this.env["KOPIA_PASSWORD"] = golden.expected.password;
    await this.ok(["repository", "connect", "filesystem", "--path", this.path(name)]);
    return golden;
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
