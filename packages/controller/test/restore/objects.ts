/**
 * Objects made by hand, and how they lie in a backup.
 */
import type { BackupItem } from "../../src/bucket/backup-files.ts";
import type { AnyObject } from "../../src/restore/actions/action.ts";

const plurals: Readonly<Record<string, string>> = {
  ClusterRole: "clusterroles",
  NetworkPolicy: "networkpolicies",
  StorageClass: "storageclasses",
  VolumeSnapshotClass: "volumesnapshotclasses",
  PriorityClass: "priorityclasses",
};

/** `deployments.apps`, of an object with apiVersion and kind. */
export function resourceOf({ apiVersion = "", kind = "" }: AnyObject): string {
  const plural = plurals[kind] ?? `${kind.toLowerCase()}s`;
  const [group, version] = apiVersion.split("/");
  return version === undefined ? plural : `${plural}.${group}`;
}

export const itemOf = (object: AnyObject): BackupItem => ({
  resource: resourceOf(object),
  version: object.apiVersion?.split("/").at(-1) ?? "",
  object,
});

export function object(
  apiVersion: string,
  kind: string,
  name: string,
  more: object = {},
  metadata: object = {},
): AnyObject {
  const isIn = !["Namespace", "PersistentVolume", "StorageClass", "ClusterRole"].includes(kind);
  return {
    apiVersion,
    kind,
    metadata: { name, ...(isIn && { namespace: "shop" }), ...metadata },
    ...more,
  } as AnyObject;
}

/** Of Widgets, which take any fields. */
export const definition = object(
  "apiextensions.k8s.io/v1",
  "CustomResourceDefinition",
  "widgets.example.com",
  {
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { kind: "Widget", plural: "widgets", singular: "widget" },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
          },
        },
      ],
    },
  },
  { namespace: undefined },
);
