/**
 * Short schemas of built-in kinds, for `kubectl explain`: the fields that this cluster acts on, in our own words.
 * Proof: test/api-server/kubectl.kubectl.test.ts.
 * @module
 */
import type { Json } from "../kube-object.ts";

const text = (description: string): Json => ({ type: "string", description });
const number = (description: string): Json => ({ type: "integer", description });
const yesNo = (description: string): Json => ({ type: "boolean", description });
const object = (description: string, properties: Json = {}): Json => ({
  type: "object",
  description,
  properties,
});
const list = (description: string, items: Json): Json => ({ type: "array", description, items });
const map = (description: string): Json => ({
  type: "object",
  description,
  additionalProperties: { type: "string" },
});

const keyValue = object("A variable.", {
  name: text("Name of the variable."),
  value: text("Its value."),
  valueFrom: object("Where the value comes from."),
});

const container = object("One program of the pod.", {
  name: text("Unique within the pod."),
  image: text("What is run; the testbed looks it up in its table of programs."),
  command: list("The program, instead of the image's.", { type: "string" }),
  args: list("Its arguments.", { type: "string" }),
  env: list("Its environment.", keyValue),
  volumeMounts: list("Where volumes appear.", object("A mount.")),
  volumeDevices: list("Where block volumes appear.", object("A device.")),
  resources: object("Requests and limits."),
  livenessProbe: object("Restarts the container when it fails."),
  readinessProbe: object("Keeps the pod unready while it fails."),
});

const podSpec = object("What is to run.", {
  containers: list("Programs that run together.", container),
  initContainers: list("Programs that run before, one after the other.", container),
  volumes: list("Volumes that containers mount.", object("A volume.")),
  nodeName: text("The node it runs on; the scheduler writes it."),
  nodeSelector: map("Labels that the node must have."),
  affinity: object("Rules of placement."),
  tolerations: list("Taints that it puts up with.", object("A toleration.")),
  restartPolicy: text("Always, OnFailure or Never."),
  serviceAccountName: text("As whom it speaks to the API server."),
  terminationGracePeriodSeconds: number("Time between SIGTERM and SIGKILL."),
  priorityClassName: text("How important it is."),
});

const template = object("The pods to make.", { spec: podSpec });
const selector = object("Which pods belong to it.");

/** By `GROUP/VERSION/KIND`. */
export const builtInSchemas: Readonly<Record<string, Json>> = {
  "v1/Pod": object("Containers that run together on one node.", {
    spec: podSpec,
    status: object("What is observed.", {
      phase: text("Pending, Running, Succeeded, Failed or Unknown."),
      conditions: list(
        "PodScheduled, Initialized, ContainersReady, Ready.",
        object("A condition."),
      ),
      containerStatuses: list("One for each container.", object("State of a container.")),
      reason: text("Why it is in this phase."),
      message: text("For people."),
    }),
  }),
  "v1/Namespace": object("A space for names."),
  "v1/ConfigMap": object("Settings for programs.", {
    data: map("Texts by key."),
    binaryData: map("Bytes by key, in base64."),
    immutable: yesNo("Whether it may no longer change."),
  }),
  "v1/Secret": object("Settings that not everybody may see.", {
    data: map("Bytes by key, in base64."),
    stringData: map("Texts that the server merges into data; never shown."),
    type: text("How programs read it."),
  }),
  "v1/PersistentVolumeClaim": object("A wish for storage.", {
    spec: object("What is wished for.", {
      accessModes: list("ReadWriteOnce, ReadOnlyMany, ReadWriteMany.", { type: "string" }),
      resources: object("requests.storage says how much."),
      storageClassName: text("The class that provides it."),
      volumeMode: text("Filesystem or Block."),
      volumeName: text("The volume that it is bound to."),
      dataSource: object("What the volume begins with."),
      dataSourceRef: object("The same, for any kind."),
      selector,
    }),
    status: object("What is observed.", {
      phase: text("Pending, Bound or Lost."),
      capacity: map("How much there is."),
    }),
  }),
  "v1/PersistentVolume": object("A piece of storage.", {
    spec: object("What it is.", {
      capacity: map("How much there is."),
      accessModes: list("How it may be mounted.", { type: "string" }),
      claimRef: object("The claim that it is bound to."),
      csi: object("The driver's names for it."),
      persistentVolumeReclaimPolicy: text("Retain or Delete: what comes after the claim."),
      storageClassName: text("The class that it belongs to."),
      volumeMode: text("Filesystem or Block."),
      nodeAffinity: object("Nodes that reach it."),
    }),
    status: object("What is observed.", {
      phase: text("Pending, Available, Bound, Released, Failed."),
    }),
  }),
  "apps/v1/Deployment": object("Pods that are replaced step by step.", {
    spec: object("What is to run.", { replicas: number("How many pods."), selector, template }),
    status: object("What is observed."),
  }),
  "apps/v1/DaemonSet": object("One pod on every node.", {
    spec: object("What is to run.", { selector, template }),
    status: object("What is observed."),
  }),
  "batch/v1/Job": object("Pods that run to their end.", {
    spec: object("What is to run.", {
      parallelism: number("How many at a time."),
      completions: number("How many must succeed."),
      backoffLimit: number("How many may fail."),
      template,
    }),
    status: object("What is observed."),
  }),
  "storage.k8s.io/v1/StorageClass": object("A kind of storage.", {
    provisioner: text("The driver that makes volumes."),
    parameters: map("Read by the driver."),
    reclaimPolicy: text("Retain or Delete."),
    volumeBindingMode: text("Immediate or WaitForFirstConsumer."),
    allowVolumeExpansion: yesNo("Whether claims may grow."),
  }),
};
