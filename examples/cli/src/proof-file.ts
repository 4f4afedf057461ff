/**
 * The file in which verifications keep what they have read. It is appended to while one runs, so that whatever ends it
 * loses the last seconds only, and written anew, in one step, when a run over everything has ended.
 * @module
 */
import { appendFile, readFile, truncate } from "node:fs/promises";
import { toHex } from "@dm/core";
import type { Repository } from "@dm/repo";
import { writeFileAtomically } from "@dm/repo/client";
import { ReadProofs, type VerifySnapshotReport } from "@dm/snapshot";
import { UsageError } from "./io.ts";

const saveEveryMs = 5000;

export class ProofFile {
  readonly proofs: ReadProofs;
  readonly #path: string;
  #saving: Promise<void> = Promise.resolve();
  #failure: unknown;
  #savedAtMs = Date.now();

  private constructor(path: string, proofs: ReadProofs) {
    this.#path = path;
    this.proofs = proofs;
  }

  /** A file that is not there yet is begun. Without a path there is none. */
  static async open(repository: Repository, path?: string): Promise<ProofFile | undefined> {
    if (path === undefined) return undefined;
    const repositoryId = toHex(repository.uniqueId);
    const text = await textOf(path);
    if (text === "")
      return new ProofFile(path, new ReadProofs(repositoryId, toHex(repository.randomBytes(8))));
    const proofs = ReadProofs.parse(text);
    if (proofs.repositoryId !== repositoryId)
      throw new UsageError(`${path} belongs to another repository`);
    // A line that was cut off must not become the beginning of the next one.
    const end = text.lastIndexOf("\n") + 1;
    if (end < text.length) await truncate(path, Buffer.byteLength(text.slice(0, end)));
    return new ProofFile(path, proofs);
  }

  /** Appends what is new, unless that was done a moment ago. Does not wait for it. */
  saveNowAndThen(): void {
    const now = Date.now();
    if (now - this.#savedAtMs < saveEveryMs) return;
    this.#savedAtMs = now;
    this.#append();
  }

  #append(): void {
    const text = this.proofs.takeUnwritten();
    if (text === "") return;
    this.#saving = this.#saving
      .then(() => appendFile(this.#path, text))
      .catch((error: unknown) => {
        this.#failure ??= error;
      });
  }

  /** Appends what is new. */
  async save(): Promise<void> {
    this.#append();
    await this.#saving;
    if (this.#failure) throw this.#failure;
  }

  /** Notes where the next run goes on; one over everything also forgets what no snapshot refers to any more. */
  async end(
    { fileObjects, isCutOff }: VerifySnapshotReport,
    { isEverything, nextFrom }: { readonly isEverything: boolean; readonly nextFrom: number },
  ): Promise<void> {
    if (isCutOff) return;
    this.proofs.nextFrom = nextFrom;
    await this.save();
    if (!isEverything) return;
    await writeFileAtomically(this.#path, this.proofs.only(fileObjects).takeUnwritten(), {
      mode: 0o644,
    });
  }
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
