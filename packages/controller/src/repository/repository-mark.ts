/**
 * What the controller remembers of a repository on its BackupRepository, in one annotation: which repository it is and where, so
 * that an empty or other place is never taken for it; and when it was tried last, with what.
 * Proof: test/repository/repository-mark.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
import type { BackupRepository, BackupStorageLocation } from "@dm/crds";

export const markAnnotation = "data-mover.dm/repository";

export interface RepositoryMark {
  /** Of the format blob, in base64; absent until the first success. */
  readonly uniqueID?: string | undefined;
  /** Where it was then, see {@link placeOf}. */
  readonly place?: string | undefined;
  /** Of the location then, see {@link fingerprintOf}. */
  readonly fingerprint?: string | undefined;
  /** Version of the password's Secret then. */
  readonly password?: string | undefined;
  readonly attempt?: RepositoryAttempt | undefined;
}

/** The last try to connect or create. */
export interface RepositoryAttempt {
  readonly atMs: number;
  /** What it depended on: with something else it is worth another try at once. */
  readonly inputs: string;
}

/** Nothing where there is none, or somebody made it unreadable. */
export function readMark({ metadata }: BackupRepository): RepositoryMark {
  try {
    const value: unknown = JSON.parse(metadata.annotations?.[markAnnotation] ?? "{}");
    return typeof value === "object" && value !== null ? (value as RepositoryMark) : {};
  } catch {
    return {};
  }
}

export function withMark(repository: BackupRepository, mark: RepositoryMark): BackupRepository {
  const { metadata } = repository;
  const annotations = { ...metadata.annotations, [markAnnotation]: JSON.stringify(mark) };
  return { ...repository, metadata: { ...metadata, annotations } };
}

/** Provider, server, bucket and prefix: where the blobs of a location's repositories lie. */
export function placeOf({ spec }: BackupStorageLocation): string {
  const { config, objectStorage, provider } = spec;
  const { bucket, prefix } = objectStorage ?? {};
  const trimmed = (prefix ?? "").split("/").filter(Boolean).join("/");
  const server = ["s3Url", "region", "fspath", "storageAccount", "storageAccountURI"];
  return digest([
    provider.replace(/^velero\.io\//, ""),
    bucket ?? "",
    trimmed,
    ...server.map((name) => config?.[name] ?? ""),
  ]);
}

/** What of a location invalidates its repositories when it changes; credentials do not. */
export function fingerprintOf({ spec }: BackupStorageLocation): string {
  const { config, objectStorage, provider } = spec;
  const { bucket, caCert, caCertRef, prefix } = objectStorage ?? {};
  const sorted = Object.entries(config ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return digest([provider, bucket ?? "", prefix ?? "", caCert ?? "", caCertRef ?? null, sorted]);
}

function digest(parts: readonly unknown[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("base64url").slice(0, 22);
}
