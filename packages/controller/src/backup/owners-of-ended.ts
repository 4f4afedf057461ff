/**
 * Which Backups or Restores to look at when one of their DataUploads or DataDownloads changes: progress is looked at now and
 * then, an end at once.
 * Proof: test/backup/backup-controllers.test.ts.
 * @module
 */
import { isFinalPhase, type KubeObject, type Resource } from "@dm/crds";
import { type ObjectKey, ownerKeys } from "../runtime/index.ts";

export function ownersOfEnded(owners: Resource) {
  return (object: KubeObject & { readonly status?: { readonly phase?: string } }): ObjectKey[] =>
    isFinalPhase(object.status?.phase) ? ownerKeys(object, owners) : [];
}
