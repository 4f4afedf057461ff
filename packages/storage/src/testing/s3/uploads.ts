/**
 * Multipart uploads that are under way. They live in memory only: a server that starts again has forgotten them.
 * Proof: test/testing-s3-checks.test.ts.
 * @module
 */
import { randomBytes } from "node:crypto";
import type { ReceivedChecksum } from "./body.ts";
import type { ChecksumAlgorithm } from "./checksums.ts";
import type { Lock } from "./object-lock.ts";
import { refuse } from "./refusal.ts";

export interface UploadedPart {
  readonly number: number;
  readonly bytes: Uint8Array;
  readonly md5: Uint8Array;
  readonly checksum: ReceivedChecksum | undefined;
  readonly modifiedMs: number;
}

export interface MultipartUpload {
  readonly id: string;
  readonly bucket: string;
  readonly key: string;
  readonly startedMs: number;
  readonly storageClass: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly lock: Lock;
  readonly checksumAlgorithm: ChecksumAlgorithm | undefined;
  readonly checksumType: "FULL_OBJECT" | "COMPOSITE";
  readonly parts: Map<number, UploadedPart>;
}

export class MultipartUploads {
  readonly #uploads = new Map<string, MultipartUpload>();

  begin(upload: Omit<MultipartUpload, "id" | "parts">): MultipartUpload {
    const begun = { ...upload, id: randomBytes(16).toString("hex"), parts: new Map() };
    this.#uploads.set(begun.id, begun);
    return begun;
  }

  /** @throws {S3Refusal} `NoSuchUpload`, also when the id belongs to another object. */
  get(id: string, bucket: string, key: string): MultipartUpload {
    const upload = this.#uploads.get(id);
    if (upload === undefined || upload.bucket !== bucket || upload.key !== key)
      throw refuse("NoSuchUpload", { elements: { UploadId: id.slice(0, 64) } });
    return upload;
  }

  end(id: string): void {
    this.#uploads.delete(id);
  }

  /** Those of a bucket, in the order in which they began. */
  of(bucket: string): MultipartUpload[] {
    return [...this.#uploads.values()].filter((upload) => upload.bucket === bucket);
  }

  dropBucket(bucket: string): void {
    for (const { id } of this.of(bucket)) this.end(id);
  }
}
