/**
 * Writes a status only when it says something new: an unchanged one is no event.
 * Proof: test/controllers/workloads.test.ts.
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import type { ClusterApi } from "../cluster-api.ts";
import type { Json, StoredObject } from "../kube-object.ts";

export function writeStatus(
  api: ClusterApi,
  resource: string,
  object: StoredObject,
  status: Json,
): void {
  // JSON has no undefined.
  const clean = JSON.parse(JSON.stringify(status));
  if (isDeepStrictEqual(object.status ?? {}, clean)) return;
  const { namespace = "", name, uid } = object.metadata;
  api.modify(
    resource,
    namespace,
    name,
    (one) => {
      if (one.metadata.uid === uid) one.status = clean;
    },
    { subresource: "status" },
  );
}
