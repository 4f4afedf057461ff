/**
 * Building blocks of the schemas. They check what is known and leave the rest alone: unknown fields survive, nothing is filled in,
 * so that reading and writing an object never changes what others wrote. What a schema says beyond its type (format, default,
 * description) lies in zod's metadata, from where manifests.ts takes it.
 * Proof: test/survival.test.ts, test/manifests.test.ts.
 * @module
 */
import { z } from "zod";
import type { ObjectMeta } from "./kube-object.ts";

/**
 * An object with these and any other fields. To zod a loose object has every property, as `unknown`, which would hide misspelt
 * names; the type given here has the named ones only.
 */
export function object<Shape extends z.ZodRawShape>(
  shape: Shape,
): z.ZodObject<z.core.util.Writeable<Shape>, z.core.$strip> {
  return z.looseObject(shape) as unknown as z.ZodObject<
    z.core.util.Writeable<Shape>,
    z.core.$strip
  >;
}

/** May be absent; when present, it is never null. */
export function optional<Schema extends z.ZodType>(schema: Schema): z.ZodExactOptional<Schema> {
  return schema.exactOptional();
}

/** May be absent or null. */
export function nullable<Schema extends z.ZodType>(
  schema: Schema,
): z.ZodExactOptional<z.ZodNullable<Schema>> {
  return schema.nullable().exactOptional();
}

export const text = z.string();
export const flag = z.boolean();
export const integer = z.int();
export const int64 = z.int().meta({ format: "int64" });
/** RFC 3339, in UTC with seconds where Go wrote it. */
export const dateTime = z.string().meta({ format: "date-time" });
/** Base64 of bytes. */
export const bytes = z.string().meta({ format: "byte" });
/** Text such as `10m0s`, kept as it is; read with `parseGoDuration`. */
export const goDuration = z.string().meta({ description: "a duration as Go spells it: 4h0m0s" });
export const texts = z.array(z.string());
export const textMap = z.record(z.string(), z.string());

/** An object whose fields belong to somebody else; the API server keeps them all. */
export const anyFields = z
  .record(z.string(), z.unknown())
  .meta({ "x-kubernetes-preserve-unknown-fields": true });

export const labelSelectorSchema = object({
  matchExpressions: optional(
    z.array(object({ key: text, operator: text, values: optional(texts) })),
  ),
  matchLabels: optional(textMap),
}).meta({ "x-kubernetes-map-type": "atomic" });
export interface LabelSelector extends z.infer<typeof labelSelectorSchema> {}

export const secretKeySelectorSchema = object({
  key: text,
  name: optional(text.meta({ default: "" })),
  optional: optional(flag),
}).meta({ "x-kubernetes-map-type": "atomic" });
/** One key of a Secret in the same namespace. */
export interface SecretKeySelector extends z.infer<typeof secretKeySelectorSchema> {}

export const objectReferenceSchema = object({
  apiVersion: optional(text),
  fieldPath: optional(text),
  kind: optional(text),
  name: optional(text),
  namespace: optional(text),
  resourceVersion: optional(text),
  uid: optional(text),
}).meta({ "x-kubernetes-map-type": "atomic" });
export interface ObjectReference extends z.infer<typeof objectReferenceSchema> {}

const ownerReferenceSchema = object({
  apiVersion: text,
  kind: text,
  name: text,
  uid: text,
  controller: optional(flag),
  blockOwnerDeletion: optional(flag),
});

/** Go writes `creationTimestamp: null` into objects that were never stored. */
export const metadataSchema = object({
  name: optional(text),
  generateName: optional(text),
  namespace: optional(text),
  uid: optional(text),
  resourceVersion: optional(text),
  generation: optional(integer),
  creationTimestamp: nullable(text),
  deletionTimestamp: nullable(text),
  deletionGracePeriodSeconds: nullable(integer),
  labels: nullable(textMap),
  annotations: nullable(textMap),
  finalizers: nullable(texts),
  ownerReferences: nullable(z.array(ownerReferenceSchema)),
}) as unknown as z.ZodType<ObjectMeta>;

/**
 * The schema of a whole object. `apiVersion` and `kind` may be absent, as in the items of a list; when present, they must be those.
 */
export function kindSchema<Shape extends z.ZodRawShape>(
  apiVersion: string,
  kind: string,
  shape: Shape,
): z.ZodObject<z.core.util.Writeable<Shape & KindShape>, z.core.$strip> {
  const head: KindShape = {
    apiVersion: optional(z.literal(apiVersion) as unknown as z.ZodString),
    kind: optional(z.literal(kind) as unknown as z.ZodString),
    metadata: metadataSchema,
  };
  return object({ ...head, ...shape });
}

type KindShape = {
  readonly apiVersion: z.ZodExactOptional<z.ZodString>;
  readonly kind: z.ZodExactOptional<z.ZodString>;
  readonly metadata: z.ZodType<ObjectMeta>;
};
