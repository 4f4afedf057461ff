export { csiSnapshotExposer } from "./expose/csi-snapshot-exposer.ts";
export type { ExposedVolume, Exposer, RestoreExposer, Step } from "./expose/exposer.ts";
export type { ExposerContext } from "./expose/exposer-context.ts";
export type {
  BackupClaimSettings,
  CacheClaimSettings,
  ExposerSettings,
  LoadAffinity,
  PodResources,
} from "./expose/exposer-settings.ts";
export { genericRestoreExposer } from "./expose/generic-restore-exposer.ts";
export {
  findHostPath,
  type HostPathPattern,
  hostPathGlob,
  hostPathPattern,
  hostPodsProblem,
  kubeletPodUid,
  type PodVolumeSource,
} from "./expose/host-path.ts";
export { type HostingTemplate, hostingTemplateOf } from "./expose/hosting-template.ts";
