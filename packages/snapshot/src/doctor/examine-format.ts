/**
 * The blobs that a repository begins with. A format blob that does not open is put back from a copy that a pack holds, if the
 * password opens that one; a blob configuration that does not open is put out of the way.
 * Format: docs/format/format-blob.md. Proof: test/doctor.test.ts, test/doctor-repair.test.ts.
 * @module
 */
import { type DmError, isDmError, systemClock } from "@dm/core";
import {
  blobConfigId,
  type FormatCopy,
  findFormatCopies,
  formatBlobId,
  openRepositoryFormat,
  type RepositoryFormat,
} from "@dm/repo";
import { getIfPresent } from "@dm/storage";
import { type Examination, looksDamaged, textOf } from "./diagnosis.ts";
import { draftStore, sameBytes } from "./draft-store.ts";

/** Whether the repository opens now, in the draft. */
export async function examineFormat(examination: Examination): Promise<boolean> {
  examination.progress("format");
  const error = await openingError(examination);
  if (!error) return true;
  if (isOfBlobConfig(error)) return setBlobConfigAside(examination, error);
  if (!(await restoreFormat(examination, error))) return false;
  const next = await openingError(examination);
  return !next || (isOfBlobConfig(next) && setBlobConfigAside(examination, next));
}

const isOfBlobConfig = (error: DmError): boolean =>
  textOf(error.details["blobId"]) === blobConfigId;

async function openingError({ draft, options }: Examination): Promise<DmError | undefined> {
  const { clock, deriveKey, password, signal } = options;
  try {
    await openRepositoryFormat(draft, { password, clock, deriveKey, signal });
    return undefined;
  } catch (error) {
    if (!isDmError(error) || !looksDamaged(error)) throw error;
    return error;
  }
}

async function setBlobConfigAside(examination: Examination, error: DmError): Promise<boolean> {
  examination.found(
    "format",
    "lost",
    `${error.message}; the repository works without it, but new blobs are not locked: if they were, set the ` +
      "retention again",
    error,
  );
  await examination.setAside(blobConfigId, `put the damaged ${blobConfigId} out of the way`);
  return (await openingError(examination)) === undefined;
}

async function restoreFormat(examination: Examination, error: DmError): Promise<boolean> {
  const { draft, options } = examination;
  const present = await getIfPresent(draft, formatBlobId, options);
  const cannot = (why: string): false => {
    const blobId = formatBlobId;
    examination.found("format", "lost", `${error.message}; ${why}`, error, { blobId });
    return false;
  };
  let why =
    "no pack has a copy of it, as always where the password can be changed: only another copy of the repository, or of " +
    "this one blob, can replace it";
  let best: (FormatCopy & { readonly format: RepositoryFormat }) | undefined;
  for await (const copy of findFormatCopies(draft, options)) {
    const { formatBlob, packBlobId } = copy;
    if (sameBytes(present, formatBlob))
      return cannot(
        `pack ${packBlobId} has the same format blob, so it is whole: check the password`,
      );
    const format = await openedCopy(examination, formatBlob);
    if (typeof format === "string")
      why = `pack ${packBlobId} has a copy of it, which cannot be used: ${format}`;
    // Versions only rise, and a store that was copied gives its packs any times.
    else if (!best || isLater(format, best.format)) best = { ...copy, format };
  }
  if (!best) return cannot(why);
  const { formatBlob, packBlobId } = best;
  examination.found(
    "format",
    "repairable",
    `${error.message}; pack ${packBlobId} has a copy that the password opens`,
    error,
    { blobId: formatBlobId },
  );
  await examination.keepAside(formatBlobId);
  await draft.put(formatBlobId, formatBlob, { signal: options.signal });
  examination.planned(
    "restoreFormat",
    `write ${formatBlobId} as pack ${packBlobId} has it; parameters that were changed later are as they were then`,
  );
  return true;
}

const isLater = (a: RepositoryFormat, b: RepositoryFormat): boolean =>
  a.version !== b.version ? a.version > b.version : a.indexVersion > b.indexVersion;

/** The format in a copy of the format blob, or why it cannot stand in the place of the present one. */
async function openedCopy(
  { draft, options }: Examination,
  formatBlob: Uint8Array,
): Promise<RepositoryFormat | string> {
  const { clock, deriveKey, password, signal } = options;
  const trial = draftStore(draft, clock ?? systemClock);
  await trial.put(formatBlobId, formatBlob, { signal });
  // That one is looked at once the format opens.
  await trial.delete(blobConfigId, { signal });
  try {
    const { format } = await openRepositoryFormat(trial, { password, clock, deriveKey, signal });
    if (!format.epochParameters.enabled && (await hasEpochs(draft, signal)))
      return "it is from before the upgrade of the repository";
    return format;
  } catch (error) {
    if (!isDmError(error) || !looksDamaged(error)) throw error;
    return error.message;
  }
}

async function hasEpochs(
  store: Examination["draft"],
  signal: AbortSignal | undefined,
): Promise<boolean> {
  for (const prefix of ["xn", "xs", "xr", "xe"])
    for await (const _ of store.list(prefix, { signal })) return true;
  return false;
}
