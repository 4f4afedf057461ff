/**
 * Objects of Velero that mean work: without their status they would do it once more, and delete a backup, say. DataUploads tell where
 * the data of claims lies, and are read for that. (Velero brings back all but those.)
 * Proof: test/restore/actions.test.ts.
 * @module
 */
import { type Action, Leave } from "./action.ts";

export const leaveDoneWork: Action = () => new Leave("skipped", "its work has been done");
