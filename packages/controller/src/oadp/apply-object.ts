/**
 * Brings one object to what is wanted of it, without quarrelling with the defaults that the API server fills in or with fields
 * that others own. What was wanted last is remembered as a digest in an annotation, so that a field which is no longer wanted
 * goes; what somebody else changed is found by comparing.
 * Proof: test/oadp/apply-object.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
import { ConflictError } from "@dm/core";
import { type KubeObject, labels, parseQuantity, type Resource } from "@dm/crds";
import type { KubeCallOptions, KubeClient } from "../runtime/kube-client.ts";
import { isDeleting } from "../runtime/objects.ts";
import { oadpOperator } from "./application.ts";

export interface ApplyOptions extends KubeCallOptions {
  /** The controller of the object. */
  readonly owner: NonNullable<KubeObject["metadata"]["ownerReferences"]>[number];
  /** An object that belongs to nobody is taken over, whoever made it. */
  readonly adopt?: boolean | undefined;
  /** Fields of `spec` that are not wanted stay: the API server has filled them in, and they may not change. */
  readonly keepSpec?: boolean | undefined;
}

export interface Applied<T> {
  readonly done: "created" | "updated" | "unchanged";
  readonly object: T;
}

const digestAnnotation = "dm.velero.io/wanted";

interface WithSpec extends KubeObject {
  spec?: object;
  status?: object;
}

/**
 * @throws {ConflictError} `DM_APPLICATION_FOREIGN_OBJECT` when an object of that name belongs to somebody else
 * @example await applyObject(client, configMaps, planNodeAgentConfig(application), { owner });
 */
export async function applyObject<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  wanted: T,
  options: ApplyOptions,
): Promise<Applied<T>> {
  const { name = "", namespace } = wanted.metadata;
  const { signal } = options;
  const marked = withMark(wanted, options.owner);
  const live = await client.get(resource, { namespace, name }, { signal });
  if (live === undefined)
    return { done: "created", object: await client.create(resource, marked, { signal }) };
  refuseForeign(resource, live, options);
  if (isDeleting(live))
    throw new ConflictError(
      "DM_APPLICATION_FOREIGN_OBJECT",
      `${resource.kind} ${namespace}/${name} is being deleted`,
      { name },
    );
  if (covers(live, marked)) return { done: "unchanged", object: live };
  if (!hasSelector(live, wanted)) {
    // Which pods it has cannot be changed, so it is made anew.
    await client.delete(resource, { namespace, name }, { uid: live.metadata.uid, signal });
    return { done: "created", object: await client.create(resource, marked, { signal }) };
  }
  const next = replaced(live, marked, options);
  return { done: "updated", object: await client.replace(resource, next, { signal }) };
}

/** Whether everything wanted is there; what is not wanted may be there too. */
export function covers(live: unknown, wanted: unknown): boolean {
  if (isEmpty(wanted)) return isEmpty(live) || isEmptyObject(wanted, live);
  if (Array.isArray(wanted))
    return (
      Array.isArray(live) &&
      live.length === wanted.length &&
      wanted.every((item, at) => covers(live[at], item))
    );
  if (typeof wanted === "object" && wanted !== null)
    return (
      typeof live === "object" &&
      live !== null &&
      Object.entries(wanted).every(([key, value]) => covers((live as Json)[key], value))
    );
  return live === wanted || sameQuantity(live, wanted);
}

type Json = Readonly<Record<string, unknown>>;

/** What Go's JSON leaves out. */
function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "" || value === false || value === 0)
    return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** `{}` is wanted where only the presence of the field says something, such as `emptyDir`. */
function isEmptyObject(wanted: unknown, live: unknown): boolean {
  return isPlain(wanted) && isPlain(live);
}

function isPlain(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The API server writes `1000m` as `1`. */
function sameQuantity(a: unknown, b: unknown): boolean {
  if (typeof a !== "string" || typeof b !== "string") return false;
  const value = thousandths(a);
  return value !== undefined && value === thousandths(b);
}

function thousandths(text: string): bigint | undefined {
  if (text.endsWith("m")) return parseQuantity(text.slice(0, -1));
  const whole = parseQuantity(text);
  return whole === undefined ? undefined : whole * 1_000n;
}

function withMark<T extends KubeObject>(wanted: T, owner: ApplyOptions["owner"]): T {
  const digest = createHash("sha256").update(JSON.stringify(wanted)).digest("hex").slice(0, 16);
  const { metadata } = wanted;
  return {
    ...wanted,
    metadata: {
      ...metadata,
      annotations: { ...metadata.annotations, [digestAnnotation]: digest },
      ownerReferences: [owner],
    },
  };
}

function refuseForeign<T extends KubeObject>(
  { kind }: Resource<T>,
  { metadata }: T,
  { adopt, owner }: ApplyOptions,
): void {
  const { name = "", namespace } = metadata;
  const holder = metadata.ownerReferences?.find(({ controller }) => controller);
  if (holder?.uid === owner.uid) return;
  const isOurs = metadata.labels?.[labels.appManagedBy] === oadpOperator;
  if (!holder && (adopt || isOurs)) return;
  throw new ConflictError(
    "DM_APPLICATION_FOREIGN_OBJECT",
    holder
      ? `Object ${namespace}/${name} is already owned by another ${holder.kind} controller ${holder.name}`
      : `${kind} ${namespace}/${name} was not made for this application; remove it first`,
    { kind, name },
  );
}

function hasSelector(live: KubeObject, wanted: KubeObject): boolean {
  const selectorOf = (object: KubeObject): string =>
    JSON.stringify(
      Object.entries(
        (object as { spec?: { selector?: { matchLabels?: Record<string, string> } } }).spec
          ?.selector?.matchLabels ?? {},
      ).sort(),
    );
  return selectorOf(live) === selectorOf(wanted);
}

function replaced<T extends KubeObject>(live: T, wanted: T, { keepSpec, owner }: ApplyOptions): T {
  const was = live as WithSpec;
  const is = wanted as WithSpec;
  const { metadata } = live;
  const others = metadata.ownerReferences?.filter(({ uid }) => uid !== owner.uid) ?? [];
  return {
    ...live,
    ...wanted,
    ...(is.spec && { spec: keepSpec ? { ...was.spec, ...is.spec } : is.spec }),
    metadata: {
      ...metadata,
      labels: { ...metadata.labels, ...wanted.metadata.labels },
      annotations: { ...metadata.annotations, ...wanted.metadata.annotations },
      ownerReferences: [...others, owner],
    },
  };
}
