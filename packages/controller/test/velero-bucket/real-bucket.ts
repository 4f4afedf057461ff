/** What the recorded bucket of a real Velero server holds, file by file, and the cluster that its backups were made of. */
import { gunzipSync } from "node:zlib";
import type { KubeObject } from "@dm/crds";
import { loadVeleroBucket } from "@dm/fixtures";
import type { NewObject } from "@dm/testbed";
import { type BackupItem, decodeItems, tarballFile } from "../../src/bucket/backup-files.ts";

export const realBackups = ["fsb", "moved", "partly", "plain"] as const;
export type RealBackup = (typeof realBackups)[number];
export const realRestores = ["moved-clean", "moved-copy", "plain-copy"] as const;
/** Names in the recorded bucket. */
export const realNamespace = "openshift-adp";
export const realLocation = "dpa-sample-1";

export const { expected, objects: realObjects } = loadVeleroBucket();

/** @param folder such as `backups/moved` */
export function realFile(folder: string, file: string): Uint8Array {
  const bytes = realObjects.get(`velero/${folder}/${file}`);
  if (!bytes) throw new Error(`the recorded bucket has no ${folder}/${file}`);
  return bytes;
}

export function realFiles(folder: string): string[] {
  const prefix = `velero/${folder}/`;
  return [...realObjects.keys()]
    .filter((key) => key.startsWith(prefix))
    .map((key) => key.slice(prefix.length))
    .sort();
}

export const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
export const unzipped = (bytes: Uint8Array): string => text(gunzipSync(bytes));

export function realItems(backup: RealBackup): BackupItem[] {
  const file = tarballFile(backup);
  return decodeItems(realFile(`backups/${backup}`, file), file);
}

/**
 * The objects that a backup was made of, as somebody would create them; without the definition that stands for Deployments, which no
 * other cluster has, and what clusters make by themselves.
 */
export function sourceObjects(backup: RealBackup): { resource: string; object: NewObject }[] {
  return realItems(backup)
    .filter(({ object: { metadata }, resource }) => {
      const isMade = ["kube-root-ca.crt", "default"].includes(metadata.name ?? "");
      return !isMade && metadata.name !== "deployments.apps" && !resource.startsWith("datauploads");
    })
    .map(({ object, resource }) => ({ resource, object: asGiven(object) }))
    .sort((a, b) => rank(a.resource) - rank(b.resource));
}

/** Others need them. */
const early = ["customresourcedefinitions.apiextensions.k8s.io", "namespaces"];
const rank = (resource: string): number =>
  early.includes(resource) ? early.indexOf(resource) : early.length;

function asGiven({ metadata, ...rest }: KubeObject): NewObject {
  const { annotations = {}, labels, name, namespace } = metadata;
  const own = Object.fromEntries(
    Object.entries(annotations).filter(([key]) => !/^(kcp\.io|kubectl\.)/.test(key)),
  );
  return {
    ...rest,
    metadata: {
      name,
      ...(namespace && { namespace }),
      ...(labels && { labels }),
      ...(Object.keys(own).length > 0 && { annotations: own }),
    },
  } as NewObject;
}
