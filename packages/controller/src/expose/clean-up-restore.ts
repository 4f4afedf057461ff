/**
 * The end of an exposed restore. A volume that is on its way to the target claim is brought there rather than lost; one that has
 * no target any more goes with our claim.
 * Proof: test/expose/generic-restore-exposer.test.ts, test/expose/rebind.test.ts, test/expose/crash.test.ts.
 * @module
 */
import { type DataDownload, type PersistentVolumeClaim, persistentVolumeClaims } from "@dm/crds";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import { cacheClaimName } from "./claims.ts";
import type { Step } from "./exposer.ts";
import { done, type Exposure, isDeleting, isEnd, isOwned, textOf } from "./exposure.ts";
import { dismissPod, reclaimOnRelease } from "./hosted-volume.ts";
import {
  holderOf,
  isRebinding,
  isRebound,
  rebindVolume,
  type SeenRebind,
  seeRebind,
} from "./rebind.ts";

export async function cleanUpRestore(
  exposure: Exposure,
  download: DataDownload,
  options: KubeCallOptions,
): Promise<Step> {
  await dismissPod(exposure, options);
  let seen = await seeRebind(exposure, download, options);
  if (isUnderWay(exposure, seen)) {
    const step = await finishRebind(exposure, download, options);
    if (!step.done) return step;
    seen = await seeRebind(exposure, download, options);
  }
  await releaseClaim(exposure, seen, options);
  const key = { namespace: exposure.key.namespace, name: cacheClaimName(exposure.owner) };
  const cache = await exposure.context.client.get(persistentVolumeClaims, key, options);
  await deleteClaim(exposure, cache, options);
  return done;
}

function isUnderWay(exposure: Exposure, seen: SeenRebind): boolean {
  const { volume } = seen;
  return volume !== undefined && isRebinding(exposure, volume) && !isRebound(exposure, seen);
}

async function finishRebind(
  exposure: Exposure,
  download: DataDownload,
  options: KubeCallOptions,
): Promise<Step> {
  try {
    return await rebindVolume(exposure, download, options);
  } catch (error) {
    if (!isEnd(error)) throw error;
    exposure.logger.warn("Could not bring the restored volume to its claim", {
      dataDownload: textOf(exposure.key),
      error,
    });
    return done;
  }
}

/** Our claim, and the volume when nobody else has it or waits for it. */
async function releaseClaim(
  exposure: Exposure,
  seen: SeenRebind,
  options: KubeCallOptions,
): Promise<void> {
  const { volume } = seen;
  if (volume !== undefined && holderOf(exposure, seen) === "ours") {
    const wanted = isRebinding(exposure, volume) && isWanted(seen);
    if (wanted)
      exposure.logger.warn("Kept the restored volume, whose claim is still unbound", {
        dataDownload: textOf(exposure.key),
        volume: volume.metadata.name,
      });
    else await reclaimOnRelease(exposure, volume, options);
  }
  await deleteClaim(exposure, seen.claim, options);
}

/** The target is there and has no other volume: the restored one may be the only thing that can fill it without a new restore. */
function isWanted({ target, volume }: SeenRebind): boolean {
  const name = target?.spec.volumeName ?? "";
  return target !== undefined && (name === "" || name === volume?.metadata.name);
}

async function deleteClaim(
  exposure: Exposure,
  claim: PersistentVolumeClaim | undefined,
  options: KubeCallOptions,
): Promise<void> {
  if (claim === undefined || !isOwned(claim, exposure.owner) || isDeleting(claim)) return;
  const { namespace, name = "", uid } = claim.metadata;
  const { client } = exposure.context;
  await client.delete(persistentVolumeClaims, { namespace, name }, { ...options, uid });
}
