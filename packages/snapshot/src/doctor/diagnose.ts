/**
 * Looks at everything that a repository consists of, from the format blob to the files of its snapshots, says what is damaged,
 * and repairs it in a draft on its way, so that what lies above can be looked at, too. What the draft was changed by is the
 * plan. Reads only. Memory: the index, the new index blobs, and one number for each pack.
 * Proof: test/doctor.test.ts, test/doctor-repair.test.ts.
 * @module
 */
import {
  isDamage,
  type MaintenanceSchedule,
  type Repository,
  readSchedule,
  scheduleBlobId,
} from "@dm/repo";
import type { BlobStore } from "@dm/storage";
import { type DiagnoseOptions, type Diagnosis, Examination } from "./diagnosis.ts";
import { examineFormat } from "./examine-format.ts";
import { examineIndex, examineUnnamedPacks } from "./examine-index.ts";
import {
  examineManifests,
  examinePacks,
  examineSnapshots,
  tellPacks,
} from "./examine-snapshots.ts";
import { forgetLostContents } from "./forget-lost.ts";

/**
 * Examines a repository. Damage is told, not thrown; that the password is wrong looks like a damaged format blob, and is told
 * as such. Hand the plan to `repairRepository`.
 * @throws what the store throws when it does not work, and what is no damage: `DM_UPGRADE_IN_PROGRESS`
 * @example
 * const { findings, plan } = await diagnoseRepository(store, { password });
 * for (const { severity, text } of findings) console.log(severity, text);
 */
export async function diagnoseRepository(
  store: BlobStore,
  options: DiagnoseOptions,
): Promise<Diagnosis> {
  const examination = new Examination(store, options);
  if (!(await examineFormat(examination))) return examination.diagnosis(false);
  const indexed = await examineIndex(examination);
  const schedule = await examineSchedule(examination, indexed);
  const reader = await examineUnnamedPacks(examination, indexed, schedule);
  const damage = await examinePacks(examination, reader);
  const leftOut = await examineManifests(examination, reader);
  const damagedContents = await tellPacks(examination, reader, damage, leftOut);
  await examineSnapshots(examination, reader, damagedContents);
  await forgetLostContents(examination, reader, damage);
  return examination.diagnosis(true);
}

async function examineSchedule(
  examination: Examination,
  reader: Repository,
): Promise<MaintenanceSchedule> {
  examination.progress("schedule");
  const { draft, options } = examination;
  const read = (): Promise<MaintenanceSchedule> =>
    readSchedule(draft, reader.openedFormat, { signal: options.signal });
  try {
    return await read();
  } catch (error) {
    if (!isDamage(error)) throw error;
    const text = `${error.message}, and forget which runs there were`;
    examination.found("schedule", "repairable", text, error, { blobId: scheduleBlobId });
    await examination.setAside(scheduleBlobId, `put the damaged ${scheduleBlobId} out of the way`);
    return await read();
  }
}
