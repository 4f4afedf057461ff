/**
 * What a real server refuses for built-in kinds, as far as programs of this project could meet it: required fields, and fields
 * that may not change.
 * Proof: test/api-server/registry.test.ts.
 * @module
 */
import type { Json, StoredObject } from "../kube-object.ts";
import { type FieldError, invalid } from "./api-error.ts";
import { type ApiKind, resourceOf } from "./api-kind.ts";
import { copyJson, equalJson, isObject, valueAt } from "./json.ts";
import { checkAddresses } from "./service-addresses.ts";

/** Paths that must have a value. */
const requiredFields: Readonly<Record<string, readonly string[]>> = {
  pods: ["spec.containers"],
  persistentvolumeclaims: ["spec.accessModes", "spec.resources.requests.storage"],
  "storageclasses.storage.k8s.io": ["provisioner"],
  "deployments.apps": ["spec.selector", "spec.template.spec.containers"],
  "daemonsets.apps": ["spec.selector", "spec.template.spec.containers"],
  "statefulsets.apps": ["spec.selector", "spec.template.spec.containers"],
  "replicasets.apps": ["spec.selector"],
  "jobs.batch": ["spec.template.spec.containers"],
  "rolebindings.rbac.authorization.k8s.io": ["roleRef.name", "roleRef.kind"],
  "clusterrolebindings.rbac.authorization.k8s.io": ["roleRef.name", "roleRef.kind"],
  "customresourcedefinitions.apiextensions.k8s.io": [
    "spec.group",
    "spec.names.plural",
    "spec.names.kind",
    "spec.versions",
  ],
  events: ["involvedObject.name"],
};

/** @throws {ApiError} 422 */
export function checkBuiltIn(
  kind: ApiKind,
  object: StoredObject,
  list: (resource: string) => Iterable<StoredObject>,
): void {
  const resource = resourceOf(kind);
  const errors: FieldError[] = [];
  for (const path of requiredFields[resource] ?? []) {
    const value = valueAt(object, path.split("."));
    const empty = value === undefined || value === null || value === "";
    if (!empty && !(Array.isArray(value) && value.length === 0)) continue;
    errors.push({ reason: "FieldValueRequired", field: path, message: "Required value" });
  }
  checks[resource]?.(object, errors, list);
  if (errors.length > 0) throw invalid(kind, object.metadata.name, errors);
}

type Check = (
  object: StoredObject,
  errors: FieldError[],
  list: (resource: string) => Iterable<StoredObject>,
) => void;

function checkSelector(object: StoredObject, errors: FieldError[]): void {
  const wanted: Json = object.spec?.selector?.matchLabels ?? {};
  const labels: Json = object.spec?.template?.metadata?.labels ?? {};
  if (Object.entries(wanted).every(([name, value]) => labels[name] === value)) return;
  errors.push({
    reason: "FieldValueInvalid",
    field: "spec.template.metadata.labels",
    message: `Invalid value: ${JSON.stringify(labels)}: \`selector\` does not match template \`labels\``,
  });
}

function checkContainers(spec: Json, path: string, errors: FieldError[]): void {
  const volumes = new Set<string>();
  for (const volume of spec?.volumes ?? []) volumes.add(volume?.name);
  const names = new Set<string>();
  for (const list of ["initContainers", "containers"]) {
    for (const [index, container] of ((spec?.[list] ?? []) as Json[]).entries()) {
      const at = `${path}.${list}[${index}]`;
      for (const field of ["name", "image"]) {
        if (container?.[field]) continue;
        errors.push({
          reason: "FieldValueRequired",
          field: `${at}.${field}`,
          message: "Required value",
        });
      }
      if (names.has(container?.name)) {
        const message = `Duplicate value: ${JSON.stringify(container.name)}`;
        errors.push({ reason: "FieldValueDuplicate", field: `${at}.name`, message });
      }
      names.add(container?.name);
      for (const kind of ["volumeMounts", "volumeDevices"]) {
        for (const [number, mount] of ((container?.[kind] ?? []) as Json[]).entries()) {
          if (volumes.has(mount?.name)) continue;
          errors.push({
            reason: "FieldValueInvalid",
            field: `${at}.${kind}[${number}].name`,
            message: `Not found: ${JSON.stringify(mount?.name ?? "")}`,
          });
        }
      }
    }
  }
}

const checks: Readonly<Record<string, Check>> = {
  pods: (object, errors) => checkContainers(object.spec, "spec", errors),
  services: (object, errors, list) => checkAddresses(object, list("services"), errors),
  "deployments.apps": checkWorkload,
  "daemonsets.apps": checkWorkload,
  "replicasets.apps": checkWorkload,
  "jobs.batch"(object, errors) {
    const spec = object.spec?.template?.spec;
    checkContainers(spec, "spec.template.spec", errors);
    if (spec?.restartPolicy === "Never" || spec?.restartPolicy === "OnFailure") return;
    errors.push({
      reason: "FieldValueRequired",
      field: "spec.template.spec.restartPolicy",
      message: 'Required value: valid values: "OnFailure", "Never"',
    });
  },
  "statefulsets.apps": checkSelector,
  "customresourcedefinitions.apiextensions.k8s.io"(object, errors) {
    const { spec, metadata } = object;
    const name = `${spec?.names?.plural}.${spec?.group}`;
    if (metadata.name !== name) {
      errors.push({
        reason: "FieldValueInvalid",
        field: "metadata.name",
        message: `Invalid value: ${JSON.stringify(metadata.name)}: must be spec.names.plural+"."+spec.group`,
      });
    }
    const versions = (spec?.versions ?? []) as Json[];
    if (versions.filter(({ storage }) => storage === true).length !== 1) {
      const message = "Invalid value: must have exactly one version marked as storage version";
      errors.push({ reason: "FieldValueInvalid", field: "spec.versions", message });
    }
    for (const [index, { schema }] of versions.entries()) {
      if (isObject(schema?.openAPIV3Schema)) continue;
      errors.push({
        reason: "FieldValueRequired",
        field: `spec.versions[${index}].schema.openAPIV3Schema`,
        message: "Required value: schemas are required",
      });
    }
  },
};

function checkWorkload(object: StoredObject, errors: FieldError[]): void {
  checkSelector(object, errors);
  checkContainers(object.spec?.template?.spec, "spec.template.spec", errors);
}

/**
 * Refuses changes of what is fixed once it is stored.
 * @throws {ApiError} 422
 */
export function checkBuiltInUpdate(kind: ApiKind, before: StoredObject, after: StoredObject): void {
  const errors: FieldError[] = [];
  updateChecks[resourceOf(kind)]?.(before, after, errors);
  if (errors.length > 0) throw invalid(kind, after.metadata.name, errors);
}

type UpdateCheck = (before: StoredObject, after: StoredObject, errors: FieldError[]) => void;

const updateChecks: Readonly<Record<string, UpdateCheck>> = {
  pods(before, after, errors) {
    const changeable = (spec: Json): Json => {
      const rest = copyJson(spec ?? {});
      for (const name of [
        "activeDeadlineSeconds",
        "terminationGracePeriodSeconds",
        "tolerations",
      ]) {
        delete rest[name];
      }
      for (const list of ["containers", "initContainers"]) {
        for (const container of rest[list] ?? []) delete container.image;
      }
      return rest;
    };
    const [was, is] = [changeable(before.spec), changeable(after.spec)];
    // Schedulers assign a node by the binding, or in this process by writing it.
    if (was.nodeName === undefined) delete is.nodeName;
    if (equalJson(was, is)) return;
    errors.push({
      reason: "FieldValueForbidden",
      field: "spec",
      message:
        "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
    });
  },
  persistentvolumeclaims(before, after, errors) {
    const fixed = (spec: Json, bound: boolean): Json => {
      const rest = copyJson(spec ?? {});
      delete rest.resources?.requests;
      delete rest.volumeAttributesClassName;
      // A claim without a class or volume may get one.
      if (!bound) delete rest.volumeName;
      return rest;
    };
    const unbound = !before.spec?.volumeName;
    const [was, is] = [fixed(before.spec, !unbound), fixed(after.spec, !unbound)];
    if (was.storageClassName === undefined) delete is.storageClassName;
    if (equalJson(was, is)) return;
    errors.push({
      reason: "FieldValueForbidden",
      field: "spec",
      message:
        "Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
    });
  },
  persistentvolumes(before, after, errors) {
    const sources = (spec: Json): Json => ({
      csi: spec?.csi,
      hostPath: spec?.hostPath,
      nfs: spec?.nfs,
    });
    if (!equalJson(copyJson(sources(before.spec)), copyJson(sources(after.spec)))) {
      errors.push({
        reason: "FieldValueForbidden",
        field: "spec.persistentvolumesource",
        message: "Forbidden: spec.persistentvolumesource is immutable after creation",
      });
    }
    immutable("spec.volumeMode")(before, after, errors);
  },
  "storageclasses.storage.k8s.io"(before, after, errors) {
    for (const name of ["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"]) {
      if (equalJson(before[name] ?? null, after[name] ?? null)) continue;
      const message = "Forbidden: updates to this field are forbidden.";
      errors.push({ reason: "FieldValueForbidden", field: name, message });
    }
  },
  secrets(before, after, errors) {
    immutable("type")(before, after, errors);
    sealed(before, after, errors);
  },
  configmaps: sealed,
  services(before, after, errors) {
    if (before.spec?.type !== "ExternalName" && after.spec?.type !== "ExternalName")
      immutable("spec.clusterIP", "may not change once set")(before, after, errors);
  },
  "deployments.apps": immutable("spec.selector"),
  "daemonsets.apps": immutable("spec.selector"),
  "replicasets.apps": immutable("spec.selector"),
  "jobs.batch"(before, after, errors) {
    for (const path of ["spec.selector", "spec.template", "spec.completionMode"]) {
      immutable(path)(before, after, errors);
    }
  },
  "rolebindings.rbac.authorization.k8s.io": immutable("roleRef", "cannot change roleRef"),
  "clusterrolebindings.rbac.authorization.k8s.io": immutable("roleRef", "cannot change roleRef"),
};

function immutable(path: string, text = "field is immutable"): UpdateCheck {
  return (before, after, errors) => {
    const names = path.split(".");
    const value = valueAt(after, names);
    if (equalJson(valueAt(before, names) ?? null, value ?? null)) return;
    const message = `Invalid value: ${JSON.stringify(value ?? null)}: ${text}`;
    errors.push({ reason: "FieldValueInvalid", field: path, message });
  };
}

/** `immutable: true` seals the data and itself. */
function sealed(before: StoredObject, after: StoredObject, errors: FieldError[]): void {
  if (before["immutable"] !== true) return;
  for (const field of ["immutable", "data", "binaryData"]) {
    if (equalJson(before[field] ?? null, after[field] ?? null)) continue;
    const message = "Forbidden: field is immutable when `immutable` is set";
    errors.push({ reason: "FieldValueForbidden", field, message });
  }
}
