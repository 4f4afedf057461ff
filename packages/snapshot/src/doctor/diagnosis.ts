/**
 * What the doctor found and what it would do about it: data, for people and for programs.
 * Proof: test/doctor.test.ts.
 * @module
 */
import { type Clock, isDmError, systemClock } from "@dm/core";
import { type DeriveKey, isDamage, openRepositoryFormat, Repository } from "@dm/repo";
import { type BlobStore, type CallOptions, getIfPresent } from "@dm/storage";
import { type DraftStore, draftStore, type PlannedWrite, sameBytes } from "./draft-store.ts";

/** Which part of the repository a finding is about, from the bottom up. */
export type ExaminedPart = "format" | "index" | "schedule" | "packs" | "manifests" | "snapshots";

/** One thing that was found. */
export interface DoctorFinding {
  readonly part: ExaminedPart;
  /**
   * `repairable`: the plan makes it good, nothing is lost by it. `lost`: what the plan cannot bring back, or all of it when the
   * repository cannot be opened. `note`: worth knowing, no damage.
   */
  readonly severity: "repairable" | "lost" | "note";
  /** One sentence or two, with the names of everything concerned. */
  readonly text: string;
  /** Stable code of the error behind it. */
  readonly code?: string | undefined;
  readonly blobId?: string | undefined;
  readonly contentId?: string | undefined;
  readonly snapshotId?: string | undefined;
  /** In the snapshot, whose root has the empty path. */
  readonly path?: string | undefined;
}

/** One thing to do. None of them deletes a pack, or a blob of which there is no copy under another name. */
export interface RepairStep {
  readonly do:
    | "restoreFormat"
    | "rebuildIndex"
    | "setAside"
    | "leaveOutManifests"
    | "forgetContents";
  /** One sentence. */
  readonly text: string;
  /** In this order. */
  readonly writes: readonly PlannedWrite[];
}

/** What was found in a repository, and what can be done about it. */
export interface Diagnosis {
  /**
   * Of what is lost in snapshots one for each path, up to 1,000 for a snapshot and 10,000 for all; of the others a snapshot has
   * one finding with their number, and without a path.
   */
  readonly findings: readonly DoctorFinding[];
  /** Everything that a repair writes, in this order; empty when nothing can or need be done. */
  readonly plan: readonly RepairStep[];
  /** The repository opens, if need be after the plan. Where not, only the format was looked at. */
  readonly opens: boolean;
  /** Ids of snapshots that miss something also after the plan. */
  readonly damagedSnapshots: ReadonlySet<string>;
  /** Neither damage nor loss. */
  readonly ok: boolean;
}

/** Where an examination is. */
export interface DoctorProgress {
  readonly part: ExaminedPart;
  readonly done: number;
  readonly total: number | undefined;
}

/** How to open the repository, and how much to read. */
export interface DiagnoseOptions extends CallOptions {
  readonly password: string;
  readonly deriveKey?: DeriveKey | undefined;
  readonly clock?: Clock | undefined;
  /** Reads and hashes every content, which finds all damage; on by default. Off, index and lengths of packs are compared. */
  readonly readData?: boolean | undefined;
  /** Told now and then; keep it cheap. */
  readonly onProgress?: ((progress: DoctorProgress) => void) | undefined;
}

/** In front of the ids of damaged blobs that a repair has put out of the way; no client lists them. */
export const damagedBlobPrefix = "dm.damaged.";

/** What an examination has found so far, and the draft in which it repairs what it finds on its way. */
export class Examination {
  readonly draft: DraftStore;
  readonly options: DiagnoseOptions;
  readonly findings: DoctorFinding[] = [];
  readonly plan: RepairStep[] = [];
  damagedSnapshots: ReadonlySet<string> = new Set();

  constructor(store: BlobStore, options: DiagnoseOptions) {
    this.draft = draftStore(store, options.clock ?? systemClock);
    this.options = options;
  }

  /** A finding with what an error tells about blob, content and code. */
  found(
    part: ExaminedPart,
    severity: DoctorFinding["severity"],
    text: string,
    error?: Error,
    more: Partial<DoctorFinding> = {},
  ): void {
    const about = isDmError(error)
      ? {
          code: error.code,
          blobId: textOf(error.details["blobId"]),
          contentId: textOf(error.details["contentId"]),
        }
      : {};
    this.findings.push({ part, severity, text, ...about, ...more });
  }

  /** Ends a step: what the draft was changed by since the last one. */
  planned(what: RepairStep["do"], text: string): void {
    const writes = this.draft.takeWrites();
    if (writes.length > 0) this.plan.push({ do: what, text, writes });
  }

  /** The repository as the draft has it, in a fresh view. */
  async open(options: { readonly forWriting?: boolean } = {}): Promise<Repository> {
    const { clock, deriveKey, password, signal } = this.options;
    const opened = await openRepositoryFormat(this.draft, { password, clock, deriveKey, signal });
    const ignoreDamagedIndexes = options.forWriting !== true;
    return new Repository(this.draft, opened, { clock, ignoreDamagedIndexes });
  }

  /** Puts a damaged blob out of the way: first a copy under another name, then its deletion. */
  async setAside(blobId: string, text: string): Promise<void> {
    await this.keepAside(blobId);
    await this.draft.delete(blobId, this.options);
    this.planned("setAside", text);
  }

  /** A copy under a name of its own, also where an earlier repair has set a blob of that name aside. */
  async keepAside(blobId: string): Promise<void> {
    const { draft, options } = this;
    const bytes = await getIfPresent(draft, blobId, options);
    if (!bytes) return;
    for (let count = 1; ; count += 1) {
      const id = `${damagedBlobPrefix}${blobId}${count === 1 ? "" : `.${count}`}`;
      const present = await getIfPresent(draft, id, options);
      if (sameBytes(present, bytes)) return;
      if (present) continue;
      await draft.put(id, bytes, { signal: options.signal });
      return;
    }
  }

  progress(part: ExaminedPart, done = 0, total?: number): void {
    this.options.onProgress?.({ part, done, total });
  }

  diagnosis(opens: boolean): Diagnosis {
    const { damagedSnapshots, findings } = this;
    // A plan for a repository that does not open even so would be a guess.
    const plan = opens ? this.plan : [];
    const ok = findings.every(({ severity }) => severity === "note");
    return { findings, plan, opens, damagedSnapshots, ok };
  }
}

/** A detail of an error, if it is a text. */
export const textOf = (value: unknown): string | undefined =>
  typeof value === "string" ? value : undefined;

/** `one file`, `3 files`. */
export const countOf = (count: number, one: string, many = `${one}s`): string =>
  count === 1 ? `one ${one}` : `${count} ${many}`;

/** Damage, and a password that does not open: the two look alike. */
export const looksDamaged = (error: unknown): boolean =>
  isDamage(error) || isDmError(error, "DM_PASSWORD_INVALID");
