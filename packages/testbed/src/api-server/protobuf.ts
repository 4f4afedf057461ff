/**
 * The few messages that kubectl's imperative commands send in Kubernetes' protobuf form, turned into JSON. A field that is not
 * known here is a refusal, never a loss.
 * Proof: test/api-server/protobuf.test.ts.
 * @module
 */
import type { Json } from "../kube-object.ts";
import { ApiError, badRequest } from "./api-error.ts";

export const protobufType = "application/vnd.kubernetes.protobuf";

type FieldType = "string" | "bytes" | "int" | "bool" | "time" | "stringMap" | "bytesMap" | Message;

interface Field {
  readonly name: string;
  readonly type: FieldType;
  readonly list?: boolean;
}

/** By field number. */
type Message = { readonly [number: number]: Field };

const one = (name: string, type: FieldType = "string"): Field => ({ name, type });
const many = (name: string, type: FieldType = "string"): Field => ({ name, type, list: true });

const ownerReference: Message = {
  1: one("kind"),
  3: one("name"),
  4: one("uid"),
  5: one("apiVersion"),
  6: one("controller", "bool"),
  7: one("blockOwnerDeletion", "bool"),
};

const objectMeta: Message = {
  1: one("name"),
  2: one("generateName"),
  3: one("namespace"),
  4: one("selfLink"),
  5: one("uid"),
  6: one("resourceVersion"),
  7: one("generation", "int"),
  8: one("creationTimestamp", "time"),
  9: one("deletionTimestamp", "time"),
  10: one("deletionGracePeriodSeconds", "int"),
  11: one("labels", "stringMap"),
  12: one("annotations", "stringMap"),
  13: many("ownerReferences", ownerReference),
  14: many("finalizers"),
};

const metadata = one("metadata", objectMeta);

const policyRule: Message = {
  1: many("verbs"),
  2: many("apiGroups"),
  3: many("resources"),
  4: many("resourceNames"),
  5: many("nonResourceURLs"),
};
const subject: Message = {
  1: one("kind"),
  2: one("apiGroup"),
  3: one("name"),
  4: one("namespace"),
};
const roleRef: Message = { 1: one("apiGroup"), 2: one("kind"), 3: one("name") };
const binding: Message = { 1: metadata, 2: many("subjects", subject), 3: one("roleRef", roleRef) };

const labelSelector: Message = {
  1: one("matchLabels", "stringMap"),
  2: many("matchExpressions", { 1: one("key"), 2: one("operator"), 3: many("values") }),
};

const container: Message = {
  1: one("name"),
  2: one("image"),
  3: many("command"),
  4: many("args"),
  5: one("workingDir"),
  6: many("ports", {
    1: one("name"),
    2: one("hostPort", "int"),
    3: one("containerPort", "int"),
    4: one("protocol"),
  }),
  8: one("resources", {}),
  13: one("terminationMessagePath"),
  14: one("imagePullPolicy"),
  16: one("stdin", "bool"),
  17: one("stdinOnce", "bool"),
  18: one("tty", "bool"),
  20: one("terminationMessagePolicy"),
};

const podTemplate: Message = {
  1: metadata,
  2: one("spec", {
    2: many("containers", container),
    3: one("restartPolicy"),
    4: one("terminationGracePeriodSeconds", "int"),
    6: one("dnsPolicy"),
    8: one("serviceAccountName"),
    9: one("serviceAccount"),
    10: one("nodeName"),
    11: one("hostNetwork", "bool"),
    12: one("hostPID", "bool"),
    13: one("hostIPC", "bool"),
    16: one("hostname"),
    17: one("subdomain"),
    19: one("schedulerName"),
    24: one("priorityClassName"),
  }),
};

const accessReview: Message = {
  1: metadata,
  2: one("spec", {
    1: one("resourceAttributes", {
      1: one("namespace"),
      2: one("verb"),
      3: one("group"),
      4: one("version"),
      5: one("resource"),
      6: one("subresource"),
      7: one("name"),
    }),
    2: one("nonResourceAttributes", { 1: one("path"), 2: one("verb") }),
  }),
  3: one("status", {
    1: one("allowed", "bool"),
    2: one("reason"),
    3: one("evaluationError"),
    4: one("denied", "bool"),
  }),
};

const messages: Readonly<Record<string, Message>> = {
  "v1/Namespace": {
    1: metadata,
    2: one("spec", { 1: many("finalizers") }),
    3: one("status", { 1: one("phase") }),
  },
  "v1/ConfigMap": {
    1: metadata,
    2: one("data", "stringMap"),
    3: one("binaryData", "bytesMap"),
    4: one("immutable", "bool"),
  },
  "v1/Secret": {
    1: metadata,
    2: one("data", "bytesMap"),
    3: one("type"),
    4: one("stringData", "stringMap"),
    5: one("immutable", "bool"),
  },
  "v1/ServiceAccount": {
    1: metadata,
    2: many("secrets", { 3: one("name"), 2: one("namespace") }),
    3: many("imagePullSecrets", { 1: one("name") }),
    4: one("automountServiceAccountToken", "bool"),
  },
  "authorization.k8s.io/v1/SelfSubjectAccessReview": accessReview,
  "authorization.k8s.io/v1/SelfSubjectRulesReview": {
    1: metadata,
    2: one("spec", { 1: one("namespace") }),
    3: one("status", { 3: one("incomplete", "bool"), 4: one("evaluationError") }),
  },
  "authentication.k8s.io/v1/SelfSubjectReview": {
    1: metadata,
    2: one("status", { 1: one("userInfo", { 1: one("username"), 2: one("uid") }) }),
  },
  "authentication.k8s.io/v1/TokenRequest": {
    1: metadata,
    2: one("spec", {
      1: many("audiences"),
      3: one("boundObjectRef", {}),
      4: one("expirationSeconds", "int"),
    }),
    3: one("status", { 1: one("token"), 2: one("expirationTimestamp", "time") }),
  },
  "rbac.authorization.k8s.io/v1/Role": { 1: metadata, 2: many("rules", policyRule) },
  "rbac.authorization.k8s.io/v1/ClusterRole": {
    1: metadata,
    2: many("rules", policyRule),
    3: one("aggregationRule", { 1: many("clusterRoleSelectors", labelSelector) }),
  },
  "rbac.authorization.k8s.io/v1/RoleBinding": binding,
  "rbac.authorization.k8s.io/v1/ClusterRoleBinding": binding,
  "scheduling.k8s.io/v1/PriorityClass": {
    1: metadata,
    2: one("value", "int"),
    3: one("globalDefault", "bool"),
    4: one("description"),
    5: one("preemptionPolicy"),
  },
  "apps/v1/Deployment": {
    1: metadata,
    2: one("spec", {
      1: one("replicas", "int"),
      2: one("selector", labelSelector),
      3: one("template", podTemplate),
      4: one("strategy", { 1: one("type") }),
      5: one("minReadySeconds", "int"),
      7: one("paused", "bool"),
    }),
    3: one("status", {
      1: one("observedGeneration", "int"),
      2: one("replicas", "int"),
      3: one("updatedReplicas", "int"),
      4: one("availableReplicas", "int"),
      5: one("unavailableReplicas", "int"),
      7: one("readyReplicas", "int"),
    }),
  },
  "batch/v1/Job": {
    1: metadata,
    2: one("spec", {
      1: one("parallelism", "int"),
      2: one("completions", "int"),
      3: one("activeDeadlineSeconds", "int"),
      4: one("selector", labelSelector),
      5: one("manualSelector", "bool"),
      6: one("template", podTemplate),
      7: one("backoffLimit", "int"),
    }),
    3: one("status", {
      4: one("active", "int"),
      5: one("succeeded", "int"),
      6: one("failed", "int"),
      7: one("completedIndexes"),
    }),
  },
};

const magic = Buffer.from([0x6b, 0x38, 0x73, 0x00]);

const unknownEnvelope: Message = {
  1: one("typeMeta", { 1: one("apiVersion"), 2: one("kind") }),
  2: one("raw", "bytes"),
  3: one("contentEncoding"),
  4: one("contentType"),
};

/** @throws {ApiError} 415 for messages that are not known here */
export function decodeProtobuf(body: Buffer): Json {
  if (!body.subarray(0, 4).equals(magic)) throw badRequest("the body is not Kubernetes protobuf");
  const envelope = decodeMessage(body.subarray(4), unknownEnvelope);
  const { apiVersion = "", kind = "" } = envelope.typeMeta ?? {};
  const message = messages[`${apiVersion}/${kind}`];
  if (message === undefined) throw unsupported(kind);
  const raw = Buffer.from(envelope.raw ?? "", "base64");
  let object: Json;
  try {
    object = decodeMessage(raw, message);
  } catch (error) {
    if (error instanceof UnknownField) throw unsupported(`this ${kind}`);
    throw error;
  }
  return { apiVersion, kind, ...object };
}

class UnknownField extends Error {}

function unsupported(what: string): ApiError {
  return new ApiError(
    415,
    "UnsupportedMediaType",
    `this server does not read ${what} as protobuf: write it to a file with --dry-run=client -o yaml and use kubectl apply -f`,
    {},
  );
}

function decodeMessage(bytes: Buffer, message: Message): Json {
  const result: Record<string, Json> = {};
  const reader = new Reader(bytes);
  while (!reader.atEnd) {
    const key = reader.varint();
    const wireType = Number(key & 7n);
    const field = message[Number(key >> 3n)];
    const value = wireType === 2 ? reader.bytes() : reader.scalar(wireType);
    if (field === undefined) throw new UnknownField();
    addField(result, field, value);
  }
  return result;
}

function addField(result: Record<string, Json>, field: Field, value: Buffer | bigint): void {
  const { name, type, list } = field;
  if (type === "stringMap" || type === "bytesMap") {
    const entry = decodeMessage(value as Buffer, {
      1: one("key"),
      2: one("value", type === "bytesMap" ? "bytes" : "string"),
    });
    result[name] ??= {};
    result[name][entry.key ?? ""] = entry.value ?? "";
    return;
  }
  const decoded = decodeValue(type, value);
  if (list) result[name] = [...(result[name] ?? []), decoded];
  // Go writes empty texts; in JSON they are left out.
  else if (decoded !== "" && decoded !== undefined) result[name] = decoded;
}

function decodeValue(type: FieldType, value: Buffer | bigint): Json {
  if (type === "int") return Number(BigInt.asIntN(64, value as bigint));
  if (type === "bool") return value === 1n;
  const bytes = value as Buffer;
  if (type === "string") return bytes.toString("utf8");
  if (type === "bytes") return bytes.toString("base64");
  if (type === "time") {
    const { seconds } = decodeMessage(bytes, { 1: one("seconds", "int"), 2: one("nanos", "int") });
    return seconds === undefined
      ? undefined
      : new Date(seconds * 1000).toISOString().replace(".000", "");
  }
  return decodeMessage(bytes, type as Message);
}

class Reader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#offset >= this.#bytes.length;
  }

  varint(): bigint {
    let result = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#offset++];
      if (byte === undefined) throw badRequest("the protobuf message is cut off");
      result |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return result;
    }
    throw badRequest("the protobuf message has an endless number");
  }

  bytes(): Buffer {
    const length = Number(this.varint());
    const end = this.#offset + length;
    if (end > this.#bytes.length) throw badRequest("the protobuf message is cut off");
    const bytes = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return bytes;
  }

  scalar(wireType: number): bigint {
    if (wireType === 0) return this.varint();
    throw badRequest(`the protobuf message has a field of wire type ${wireType}`);
  }
}
