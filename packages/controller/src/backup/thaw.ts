/**
 * Runs the post hooks of pods that a server which died may have left standing still after their pre hooks.
 * Proof: test/backup/hooks.test.ts.
 * @module
 */
import { mapConcurrent } from "@dm/core";
import { type Backup, pods } from "@dm/crds";
import { backupHooks } from "../hooks/backup-hooks.ts";
import { runHooks } from "../hooks/run-hooks.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import { admits, isSelected } from "../scope/scope.ts";
import type { BackupDeps } from "./backup-deps.ts";
import { listAll } from "./list-all.ts";

const concurrency = 4;

/** Of every pod that has hooks of both kinds: nobody knows how far the server came. Failures are only told to the log. */
export async function thaw(
  deps: BackupDeps,
  { spec = {} }: Backup,
  options: KubeCallOptions,
): Promise<void> {
  const resources = await deps.discovery.resources(options);
  const held = (await listAll(deps.client, pods, options)).filter(
    (pod) =>
      admits(spec.includedNamespaces, spec.excludedNamespaces, pod.metadata.namespace ?? "") &&
      isSelected(spec, pod) &&
      backupHooks(spec, pod, "pre", resources).length > 0,
  );
  await mapConcurrent(
    held,
    (pod) =>
      runHooks(pod, backupHooks(spec, pod, "post", resources), {
        ...options,
        exec: deps.exec,
        count: { attempted: 0, failed: 0 },
        onError: ({ name }, error) =>
          deps.logger.warn("Failed post hook of a Backup that was left", {
            pod: `${pod.metadata.namespace}/${pod.metadata.name}`,
            hook: name,
            error,
          }),
      }),
    { concurrency, signal: options.signal },
  );
}
