/**
 * DataUploads tell where the data of claims lies. They are read, not restored.
 * Proof: test/restore/actions.test.ts.
 * @module
 */
import { type Action, Leave } from "./action.ts";

export const restoreUpload: Action = () => new Leave("skipped", "it only tells where data lies");
