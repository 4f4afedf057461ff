/**
 * Claims, volumes and the claims of stateful sets in another storage class, as a ConfigMap maps them.
 * Proof: test/restore/actions.test.ts.
 * @module
 */
import type { PersistentVolumeClaimSpec } from "@dm/crds";
import { type Action, Leave, type RestoreConfig } from "./action.ts";

interface ClassedSpec {
  readonly storageClassName?: string;
}

export const changeStorageClass: Action = (object, { settings }) => {
  const spec = object["spec"] as ClassedSpec | undefined;
  const name = mapped(settings, spec);
  if (name instanceof Leave) return name;
  return name === undefined ? object : { ...object, spec: { ...spec, storageClassName: name } };
};

export const changeTemplateStorageClass: Action = (object, { settings }) => {
  const spec = object["spec"] as { readonly volumeClaimTemplates?: readonly Template[] };
  const templates: Template[] = [];
  for (const template of spec?.volumeClaimTemplates ?? []) {
    const name = mapped(settings, template.spec);
    if (name instanceof Leave) return name;
    templates.push(
      name === undefined
        ? template
        : { ...template, spec: { ...template.spec, storageClassName: name } },
    );
  }
  return templates.length === 0
    ? object
    : { ...object, spec: { ...spec, volumeClaimTemplates: templates } };
};

interface Template {
  readonly spec: PersistentVolumeClaimSpec;
}

function mapped(
  { missingStorageClasses, storageClasses }: RestoreConfig,
  spec: ClassedSpec | undefined,
): string | Leave | undefined {
  const name = storageClasses.get(spec?.storageClassName ?? "");
  if (name !== undefined && missingStorageClasses.has(name))
    return new Leave(
      "failed",
      `error getting storage class ${name} from API: storageclasses.storage.k8s.io "${name}" not found`,
    );
  return name;
}
