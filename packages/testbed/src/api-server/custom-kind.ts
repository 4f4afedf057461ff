/**
 * CustomResourceDefinitions: the kind that one defines, and the conditions that say it is served.
 * Proof: test/api-server/custom-resources.test.ts.
 * @module
 */
import type { Json, StoredObject } from "../kube-object.ts";
import { type ApiKind, type ApiVersion, apiVersionName, type PrinterColumn } from "./api-kind.ts";

export const crdResource = "customresourcedefinitions.apiextensions.k8s.io";

/** The kind of a definition; undefined while it may not be served. */
export function crdKind(crd: StoredObject): ApiKind | undefined {
  const { spec } = crd;
  if (!isApproved(crd)) return undefined;
  const names = spec.names ?? {};
  const served = ((spec.versions ?? []) as Json[]).filter(({ served }) => served !== false);
  // The version that is stored first, so that it is the one objects are kept in; then the newest.
  served.sort((a, b) => Number(b.storage === true) - Number(a.storage === true));
  if (served.length === 0) return undefined;
  return {
    group: spec.group,
    versions: served.map(
      (one): ApiVersion => ({
        name: one.name,
        apiVersion: apiVersionName(spec.group, one.name),
        status: one.subresources?.status !== undefined,
        scale: one.subresources?.scale,
        schema: one.schema?.openAPIV3Schema,
        columns: one.additionalPrinterColumns as PrinterColumn[] | undefined,
      }),
    ),
    kind: names.kind,
    listKind: names.listKind ?? `${names.kind}List`,
    plural: names.plural,
    singular: names.singular ?? String(names.kind).toLowerCase(),
    shortNames: names.shortNames ?? [],
    categories: names.categories ?? [],
    namespaced: spec.scope !== "Cluster",
    hasGeneration: true,
    versionRequired: true,
    selectableFields: (served[0]?.selectableFields ?? []).map(({ jsonPath }: Json) =>
      String(jsonPath).replace(/^\./, ""),
    ),
    custom: true,
    virtual: false,
  };
}

/** Groups of the Kubernetes project are served only with a word of approval. */
function isApproved(crd: StoredObject): boolean {
  const group = String(crd.spec?.group ?? "");
  if (!/(^|\.)(k8s|kubernetes)\.io$/.test(group)) return true;
  const approval = crd.metadata.annotations?.["api-approved.kubernetes.io"] ?? "";
  return approval.startsWith("https://") || approval.startsWith("unapproved");
}

interface Condition {
  type: string;
  status: string;
  reason: string;
  message: string;
  lastTransitionTime: string;
}

/** Writes the status of a definition, as the server's own controllers would a moment later. */
export function crdConditions(
  crd: StoredObject,
  before: StoredObject | undefined,
  now: string,
): void {
  const { spec } = crd;
  const earlier = (before?.status?.conditions ?? []) as Condition[];
  const condition = (type: string, status: string, reason: string, message: string): Condition => {
    const last = earlier.find((one) => one.type === type && one.status === status);
    return { lastTransitionTime: last?.lastTransitionTime ?? now, message, reason, status, type };
  };
  const approved = isApproved(crd);
  const versions = (spec?.versions ?? []) as Json[];
  const stored = versions.find(({ storage }) => storage === true)?.name;
  crd.status = {
    acceptedNames: { ...spec?.names },
    conditions: [
      condition("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
      condition(
        "Established",
        approved ? "True" : "False",
        approved ? "InitialNamesAccepted" : "NotAccepted",
        approved ? "the initial names have been accepted" : "not all names are accepted",
      ),
      ...(approved
        ? []
        : [
            condition(
              "KubernetesAPIApprovalPolicyConformant",
              "False",
              "MissingAnnotation",
              'protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111',
            ),
          ]),
    ],
    storedVersions: before?.status?.storedVersions ?? (stored === undefined ? [] : [stored]),
  };
}
