/**
 * The objects in a tarball, whoever wrote it: unpacked and read file by file, so that neither the archive nor the time that it takes
 * is in the way of anything else.
 * Proof: test/bucket/read-items.test.ts.
 * @module
 */
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { FormatError, isDmError } from "@dm/core";
import type { KubeObject } from "@dm/crds";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import { type BackupItem, maxUnpackedBytes } from "./backup-files.ts";
import { decodeTarStream } from "./tar-codec.ts";

export interface ReadItemsLimits {
  /** Of all files together; each object is in there twice. */
  readonly maxUnpackedBytes: number;
  /** Of one object. etcd takes 1.5 MiB. */
  readonly maxObjectBytes: number;
}

export const readItemsLimits: ReadItemsLimits = {
  maxUnpackedBytes,
  maxObjectBytes: 16 << 20,
};

const itemPath = /^resources\/([^/]+)\/(?:namespaces\/[^/]+|cluster)\/[^/]+\.json$/;
const versionedPath = /^resources\/([^/]+)\/([^/]+)-preferredversion\//;

/**
 * Each object once.
 * @throws {FormatError} `DM_BACKUP_FILE_INVALID`, `DM_TAR_INVALID`
 */
export async function readItems(
  tarball: Uint8Array,
  file: string,
  { signal }: KubeCallOptions = {},
  { maxObjectBytes, maxUnpackedBytes }: ReadItemsLimits = readItemsLimits,
): Promise<BackupItem[]> {
  const versions = new Map<string, string>();
  const found: { readonly resource: string; readonly object: KubeObject }[] = [];
  for await (const { bytes, path } of decodeTarStream(unpacked(tarball, file, maxUnpackedBytes))) {
    signal?.throwIfAborted();
    const [, versioned, version] = versionedPath.exec(path) ?? [];
    if (versioned !== undefined && version !== undefined) versions.set(versioned, version);
    const resource = itemPath.exec(path)?.[1];
    if (resource === undefined) continue;
    if (bytes.length > maxObjectBytes)
      throw invalid(`${file}: ${path}`, `it has ${bytes.length} bytes`);
    found.push({ resource, object: parsed(bytes, `${file}: ${path}`) });
  }
  return found.map(({ object, resource }) => {
    const own = object.apiVersion?.split("/").at(-1) ?? "";
    return { resource, version: versions.get(resource) ?? own, object };
  });
}

async function* unpacked(
  tarball: Uint8Array,
  file: string,
  maxBytes: number,
): AsyncGenerator<Uint8Array> {
  let total = 0;
  try {
    const packed = Readable.from([tarball]);
    for await (const piece of packed.pipe(createGunzip()) as AsyncIterable<Uint8Array>) {
      total += piece.length;
      if (total > maxBytes) throw invalid(file, `it has more than ${maxBytes} bytes`);
      yield piece;
    }
  } catch (cause) {
    if (isDmError(cause)) throw cause;
    throw invalid(file, "it is not gzip, or damaged", cause);
  }
}

function parsed(bytes: Uint8Array, file: string): KubeObject {
  let object: Partial<KubeObject> | null;
  try {
    object = JSON.parse(new TextDecoder().decode(bytes)) as typeof object;
  } catch (cause) {
    throw invalid(file, "it is no JSON", cause);
  }
  const { apiVersion = "", metadata } = object ?? {};
  if (typeof metadata?.name !== "string" || typeof apiVersion !== "string")
    throw invalid(file, "it is no object of Kubernetes");
  return object as KubeObject;
}

function invalid(file: string, reason: string, cause?: unknown): FormatError {
  const text = `the file ${file} of the backup cannot be read: ${reason}`;
  return new FormatError("DM_BACKUP_FILE_INVALID", text, { file }, { cause });
}
