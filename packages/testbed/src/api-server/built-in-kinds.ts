/**
 * The kinds that are there without a CRD, with the names, scopes and subresources that a real server gives them.
 * Proof: test/api-server/kubectl.kubectl.test.ts.
 * @module
 */
import { type ApiKind, apiVersionName } from "./api-kind.ts";

interface BuiltIn {
  readonly kind: string;
  readonly plural: string;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly cluster?: boolean;
  readonly status?: boolean;
  readonly generation?: boolean;
  readonly scale?: boolean;
  readonly versionRequired?: boolean;
  readonly selectable?: readonly string[];
  readonly virtual?: boolean;
}

const all = ["all"];

const eventFields = [
  "involvedObject.kind",
  "involvedObject.namespace",
  "involvedObject.name",
  "involvedObject.uid",
  "involvedObject.apiVersion",
  "involvedObject.resourceVersion",
  "involvedObject.fieldPath",
  "reason",
  "reportingComponent",
  "source",
  "type",
];

const podFields = [
  "spec.nodeName",
  "spec.restartPolicy",
  "spec.schedulerName",
  "spec.serviceAccountName",
  "spec.hostNetwork",
  "status.phase",
  "status.podIP",
  "status.nominatedNodeName",
];

const groups: Readonly<Record<string, readonly BuiltIn[]>> = {
  "/v1": [
    { kind: "ConfigMap", plural: "configmaps", shortNames: ["cm"] },
    { kind: "Endpoints", plural: "endpoints", shortNames: ["ep"] },
    { kind: "Event", plural: "events", shortNames: ["ev"], selectable: eventFields },
    {
      kind: "Namespace",
      plural: "namespaces",
      shortNames: ["ns"],
      cluster: true,
      status: true,
      selectable: ["status.phase"],
    },
    {
      kind: "Node",
      plural: "nodes",
      shortNames: ["no"],
      cluster: true,
      status: true,
      selectable: ["spec.unschedulable"],
    },
    {
      kind: "PersistentVolume",
      plural: "persistentvolumes",
      shortNames: ["pv"],
      cluster: true,
      status: true,
    },
    {
      kind: "PersistentVolumeClaim",
      plural: "persistentvolumeclaims",
      shortNames: ["pvc"],
      status: true,
    },
    {
      kind: "Pod",
      plural: "pods",
      shortNames: ["po"],
      categories: all,
      status: true,
      selectable: podFields,
    },
    { kind: "LimitRange", plural: "limitranges", shortNames: ["limits"] },
    { kind: "PodTemplate", plural: "podtemplates" },
    { kind: "ResourceQuota", plural: "resourcequotas", shortNames: ["quota"], status: true },
    { kind: "Secret", plural: "secrets", selectable: ["type"] },
    { kind: "ServiceAccount", plural: "serviceaccounts", shortNames: ["sa"] },
    {
      kind: "Service",
      plural: "services",
      shortNames: ["svc"],
      categories: all,
      status: true,
      selectable: ["spec.clusterIP", "spec.type"],
    },
  ],
  "apps/v1": [
    {
      kind: "DaemonSet",
      plural: "daemonsets",
      shortNames: ["ds"],
      categories: all,
      status: true,
      generation: true,
    },
    {
      kind: "Deployment",
      plural: "deployments",
      shortNames: ["deploy"],
      categories: all,
      status: true,
      generation: true,
      scale: true,
    },
    {
      kind: "ReplicaSet",
      plural: "replicasets",
      shortNames: ["rs"],
      categories: all,
      status: true,
      generation: true,
      scale: true,
      selectable: ["status.replicas"],
    },
    {
      kind: "StatefulSet",
      plural: "statefulsets",
      shortNames: ["sts"],
      categories: all,
      status: true,
      generation: true,
      scale: true,
    },
    { kind: "ControllerRevision", plural: "controllerrevisions" },
  ],
  "batch/v1": [
    {
      kind: "Job",
      plural: "jobs",
      categories: all,
      status: true,
      generation: true,
      selectable: ["status.successful"],
    },
    {
      kind: "CronJob",
      plural: "cronjobs",
      shortNames: ["cj"],
      categories: all,
      status: true,
      generation: true,
    },
  ],
  // Objects only: nothing scales, limits or routes by them.
  "autoscaling/v2": [
    {
      kind: "HorizontalPodAutoscaler",
      plural: "horizontalpodautoscalers",
      shortNames: ["hpa"],
      categories: all,
      status: true,
    },
  ],
  "discovery.k8s.io/v1": [{ kind: "EndpointSlice", plural: "endpointslices", generation: true }],
  "networking.k8s.io/v1": [
    { kind: "Ingress", plural: "ingresses", shortNames: ["ing"], status: true, generation: true },
    { kind: "IngressClass", plural: "ingressclasses", cluster: true, generation: true },
    { kind: "NetworkPolicy", plural: "networkpolicies", shortNames: ["netpol"], generation: true },
  ],
  "policy/v1": [
    {
      kind: "PodDisruptionBudget",
      plural: "poddisruptionbudgets",
      shortNames: ["pdb"],
      status: true,
      generation: true,
    },
  ],
  "storage.k8s.io/v1": [
    { kind: "CSIDriver", plural: "csidrivers", cluster: true },
    { kind: "CSINode", plural: "csinodes", cluster: true },
    { kind: "StorageClass", plural: "storageclasses", shortNames: ["sc"], cluster: true },
    { kind: "VolumeAttachment", plural: "volumeattachments", cluster: true, status: true },
  ],
  "coordination.k8s.io/v1": [{ kind: "Lease", plural: "leases", versionRequired: true }],
  "rbac.authorization.k8s.io/v1": [
    { kind: "ClusterRoleBinding", plural: "clusterrolebindings", cluster: true },
    { kind: "ClusterRole", plural: "clusterroles", cluster: true },
    { kind: "RoleBinding", plural: "rolebindings" },
    { kind: "Role", plural: "roles" },
  ],
  "apiextensions.k8s.io/v1": [
    {
      kind: "CustomResourceDefinition",
      plural: "customresourcedefinitions",
      shortNames: ["crd", "crds"],
      categories: ["api-extensions"],
      cluster: true,
      status: true,
      generation: true,
      versionRequired: true,
    },
  ],
  "scheduling.k8s.io/v1": [
    {
      kind: "PriorityClass",
      plural: "priorityclasses",
      shortNames: ["pc"],
      cluster: true,
      generation: true,
    },
  ],
  "authorization.k8s.io/v1": [
    {
      kind: "SelfSubjectAccessReview",
      plural: "selfsubjectaccessreviews",
      cluster: true,
      virtual: true,
    },
    {
      kind: "SelfSubjectRulesReview",
      plural: "selfsubjectrulesreviews",
      cluster: true,
      virtual: true,
    },
    { kind: "SubjectAccessReview", plural: "subjectaccessreviews", cluster: true, virtual: true },
  ],
  "authentication.k8s.io/v1": [
    { kind: "SelfSubjectReview", plural: "selfsubjectreviews", cluster: true, virtual: true },
    { kind: "TokenReview", plural: "tokenreviews", cluster: true, virtual: true },
  ],
};

export const builtInKinds: readonly ApiKind[] = Object.entries(groups).flatMap(([key, kinds]) => {
  const slash = key.lastIndexOf("/");
  const group = key.slice(0, slash);
  const version = key.slice(slash + 1);
  return kinds.map(
    (one): ApiKind => ({
      group,
      versions: [
        {
          name: version,
          apiVersion: apiVersionName(group, version),
          status: one.status ?? false,
          scale: one.scale
            ? { specReplicasPath: ".spec.replicas", statusReplicasPath: ".status.replicas" }
            : undefined,
          schema: undefined,
          columns: undefined,
        },
      ],
      kind: one.kind,
      listKind: `${one.kind}List`,
      plural: one.plural,
      singular: one.kind.toLowerCase(),
      shortNames: one.shortNames ?? [],
      categories: one.categories ?? [],
      namespaced: !one.cluster,
      hasGeneration: one.generation ?? false,
      versionRequired: one.versionRequired ?? false,
      selectableFields: one.selectable ?? [],
      custom: false,
      virtual: one.virtual ?? false,
    }),
  );
});
