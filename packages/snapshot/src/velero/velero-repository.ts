/**
 * The blob by which Velero (1.18 on) knows a repository that it has set up, and the owner of maintenance. Velero takes
 * repositories without it, too, but sets them up again.
 * Format: docs/format/velero.md. Proof: test/velero.test.ts.
 * @module
 */
import {
  equalBytes,
  FormatError,
  fromBase64,
  isDmError,
  toBase64,
  utf8Decode,
  utf8Encode,
} from "@dm/core";
import {
  defaultMaintenanceParameters,
  type Repository,
  readMaintenanceParameters,
  writeMaintenanceParameters,
} from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import { veleroHost, veleroUser } from "./velero.ts";

export const veleroRepositoryBlobId = "udmrepo.Repository";

/** Names of Velero's choices for the time between two full maintenances, in hours. */
const fullMaintenanceHours = { normalGC: 24, fastGC: 12, eagerGC: 6 } as const;

/** How often full maintenance is to run. */
export interface SetUpVeleroOptions extends CallOptions {
  /** `normalGC` (24 h, default), `fastGC` (12 h), `eagerGC` (6 h); counts when the owner of maintenance is set. */
  readonly fullMaintenanceInterval?: keyof typeof fullMaintenanceHours | undefined;
}

/** The bytes of the blob: JSON without a newline, not encrypted. */
export function encodeVeleroRepository(uniqueId: Uint8Array): Uint8Array {
  return utf8Encode(`{"uniqueID":"${toBase64(uniqueId)}"}`);
}

/** @throws {FormatError} `DM_VELERO_REPOSITORY_INVALID` */
export function decodeVeleroRepository(bytes: Uint8Array): Uint8Array {
  try {
    const { uniqueID } = JSON.parse(utf8Decode(bytes)) as { uniqueID?: unknown };
    if (typeof uniqueID === "string") return fromBase64(uniqueID);
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof TypeError || isDmError(error)))
      throw error;
  }
  throw new FormatError(
    "DM_VELERO_REPOSITORY_INVALID",
    `blob ${veleroRepositoryBlobId} is not what Velero writes`,
    { blobId: veleroRepositoryBlobId },
  );
}

/**
 * Does to an open repository what Velero does when it sets one up: `default@default` runs maintenance, and the blob is there.
 * Writes nothing where that is so already.
 * @throws {FormatError} `DM_VELERO_REPOSITORY_INVALID`, also when the blob belongs to another repository
 */
export async function setUpVeleroRepository(
  repository: Repository,
  options: SetUpVeleroOptions = {},
): Promise<void> {
  const { fullMaintenanceInterval = "normalGC", signal } = options;
  const isMarked = await isVeleroRepository(repository, options);
  const owner = `${veleroUser}@${veleroHost}`;
  const { owner: present } = await readMaintenanceParameters(repository, { signal });
  if (present !== owner) {
    const parameters = defaultMaintenanceParameters(owner);
    const interval = fullMaintenanceHours[fullMaintenanceInterval] * 3_600_000_000_000;
    await using session = await repository.openWriteSession({ signal });
    const full = { ...parameters.full, interval };
    await writeMaintenanceParameters(session, { ...parameters, full }, { signal });
    await session.commit({ signal });
  }
  if (isMarked) return;
  const bytes = encodeVeleroRepository(repository.uniqueId);
  await repository.store.put(veleroRepositoryBlobId, bytes, { signal });
}

/**
 * Whether Velero's blob is there and belongs to this repository.
 * @throws {FormatError} `DM_VELERO_REPOSITORY_INVALID`, also when it belongs to another one
 */
export async function isVeleroRepository(
  repository: Repository,
  options: CallOptions = {},
): Promise<boolean> {
  const { signal } = options;
  let bytes: Uint8Array;
  try {
    bytes = await repository.store.get(veleroRepositoryBlobId, { signal });
  } catch (error) {
    if (isDmError(error, "DM_BLOB_NOT_FOUND")) return false;
    throw error;
  }
  if (equalBytes(decodeVeleroRepository(bytes), repository.uniqueId)) return true;
  throw new FormatError(
    "DM_VELERO_REPOSITORY_INVALID",
    `blob ${veleroRepositoryBlobId} belongs to another repository`,
    { blobId: veleroRepositoryBlobId },
  );
}
