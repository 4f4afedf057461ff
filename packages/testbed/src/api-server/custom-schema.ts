/**
 * Structural OpenAPI schemas of custom kinds: unknown fields are taken out, defaults put in, values checked with the texts of a
 * real server. CEL rules (`x-kubernetes-validations`) are not evaluated.
 * Proof: test/api-server/custom-resources.test.ts.
 * @module
 */
import type { Json } from "../kube-object.ts";
import type { FieldError } from "./api-error.ts";
import { copyJson, equalJson, isObject } from "./json.ts";

/** Takes out, in place, what the schema does not know; answers the paths. */
export function pruneUnknown(schema: Json, object: Json): string[] {
  const unknown: string[] = [];
  prune(schema, object, "", true, unknown);
  return unknown;
}

const ownFields = new Set(["apiVersion", "kind", "metadata"]);

function prune(schema: Json, value: Json, path: string, root: boolean, unknown: string[]): void {
  if (!isObject(schema)) return;
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      prune(schema["items"], item, `${path}[${index}]`, false, unknown);
    }
    return;
  }
  if (!isObject(value)) return;
  const properties: Json = schema["properties"] ?? {};
  const additional = schema["additionalProperties"];
  const keeps = schema["x-kubernetes-preserve-unknown-fields"] === true;
  const resource = root || schema["x-kubernetes-embedded-resource"] === true;
  for (const name of Object.keys(value)) {
    const at = path === "" ? name : `${path}.${name}`;
    if (resource && ownFields.has(name)) continue;
    if (Object.hasOwn(properties, name)) prune(properties[name], value[name], at, false, unknown);
    else if (isObject(additional)) prune(additional, value[name], at, false, unknown);
    else if (additional !== true && !keeps) {
      delete value[name];
      unknown.push(at);
    }
  }
}

/** Fills in defaults, in place. */
export function fillDefaults(schema: Json, value: Json): void {
  if (!isObject(schema)) return;
  if (Array.isArray(value)) {
    for (const item of value) fillDefaults(schema["items"], item);
    return;
  }
  if (!isObject(value)) return;
  for (const [name, property] of Object.entries(schema["properties"] ?? {}) as [string, Json][]) {
    if (!isObject(property)) continue;
    const given = value[name];
    const missing = given === undefined || (given === null && property["nullable"] !== true);
    if (missing && property["default"] !== undefined) value[name] = copyJson(property["default"]);
    fillDefaults(property, value[name]);
  }
  if (isObject(schema["additionalProperties"])) {
    for (const name of Object.keys(value)) {
      if (!Object.hasOwn(schema["properties"] ?? {}, name)) {
        fillDefaults(schema["additionalProperties"], value[name]);
      }
    }
  }
}

/** Everything that is wrong with an object. */
export function validateSchema(schema: Json, object: Json): FieldError[] {
  const errors: FieldError[] = [];
  const { apiVersion: _, kind: __, metadata: ___, ...rest } = object;
  const required: string[] = (schema?.required ?? []).filter(
    (name: string) => !ownFields.has(name),
  );
  const { apiVersion, kind, metadata, ...properties } = schema?.properties ?? {};
  validate({ ...schema, required, properties }, rest, "", errors);
  return errors;
}

function typeName(value: Json): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

function hasType(schema: Json, value: Json): boolean {
  if (schema["x-kubernetes-int-or-string"] === true) {
    return typeof value === "string" || Number.isInteger(value);
  }
  const { type } = schema;
  const actual = typeName(value);
  return (
    type === undefined ||
    type === "" ||
    type === actual ||
    (type === "number" && actual === "integer")
  );
}

function validate(schema: Json, value: Json, path: string, errors: FieldError[]): void {
  if (!isObject(schema)) return;
  const field = path === "" ? "<nil>" : path;
  const wrong = (text: string, shown: Json = value): void => {
    const message = `Invalid value: ${JSON.stringify(shown)}: ${text}`;
    errors.push({ reason: "FieldValueInvalid", field, message });
  };
  if (value === null && schema["nullable"] === true) return;
  if (!hasType(schema, value)) {
    const type = schema["x-kubernetes-int-or-string"] ? "integer,string" : schema["type"];
    const actual = JSON.stringify(typeName(value));
    errors.push({
      reason: "FieldValueTypeInvalid",
      field,
      message: `Invalid value: ${actual}: ${path} in body must be of type ${type}: ${actual}`,
    });
    return;
  }
  validateEnum(schema, value, field, errors);
  if (typeof value === "string") validateString(schema, value, path, wrong);
  if (typeof value === "number") validateNumber(schema, value, path, wrong);
  if (Array.isArray(value)) validateArray(schema, value, path, errors, wrong);
  else if (isObject(value)) validateObject(schema, value, path, errors, wrong);
  validateCombinations(schema, value, path, errors, wrong);
}

type Wrong = (text: string, shown?: Json) => void;

function validateEnum(schema: Json, value: Json, field: string, errors: FieldError[]): void {
  const choices = schema["enum"];
  if (!Array.isArray(choices) || choices.some((one) => equalJson(one, value))) return;
  const list = choices.map((one) => JSON.stringify(one)).join(", ");
  errors.push({
    reason: "FieldValueNotSupported",
    field,
    message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`,
  });
}

const patterns = new Map<string, RegExp | undefined>();

/** Undefined for what RE2 knows and JavaScript does not: such patterns are not checked. */
function patternOf(text: string): RegExp | undefined {
  if (!patterns.has(text)) {
    try {
      patterns.set(text, new RegExp(text));
    } catch {
      patterns.set(text, undefined);
    }
  }
  return patterns.get(text);
}

const dateTime = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;

function validateString(schema: Json, value: string, path: string, wrong: Wrong): void {
  const length = [...value].length;
  if (length < (schema["minLength"] ?? 0)) {
    wrong(`${path} in body should be at least ${schema["minLength"]} chars long`);
  }
  if (length > (schema["maxLength"] ?? Number.POSITIVE_INFINITY)) {
    wrong(`${path} in body should be at most ${schema["maxLength"]} chars long`);
  }
  if (schema["pattern"] !== undefined && patternOf(schema["pattern"])?.test(value) === false) {
    wrong(`${path} in body should match '${schema["pattern"]}'`);
  }
  if (schema["format"] === "date-time" && !dateTime.test(value)) {
    wrong(`${path} in body must be of type date-time: ${JSON.stringify(value)}`);
  }
}

function validateNumber(schema: Json, value: number, path: string, wrong: Wrong): void {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = schema;
  if (minimum !== undefined && (exclusiveMinimum ? value <= minimum : value < minimum)) {
    wrong(
      `${path} in body should be greater than ${exclusiveMinimum ? "" : "or equal to "}${minimum}`,
    );
  }
  if (maximum !== undefined && (exclusiveMaximum ? value >= maximum : value > maximum)) {
    wrong(
      `${path} in body should be less than ${exclusiveMaximum ? "" : "or equal to "}${maximum}`,
    );
  }
  if (multipleOf !== undefined && value % multipleOf !== 0) {
    wrong(`${path} in body should be a multiple of ${multipleOf}`);
  }
}

function validateArray(
  schema: Json,
  value: readonly Json[],
  path: string,
  errors: FieldError[],
  wrong: Wrong,
): void {
  const { minItems, maxItems, uniqueItems } = schema;
  if (value.length < (minItems ?? 0)) {
    wrong(`${path} in body should have at least ${minItems} items`, value.length);
  }
  if (value.length > (maxItems ?? Number.POSITIVE_INFINITY)) {
    const message = `Too many: ${value.length}: must have at most ${maxItems} items`;
    errors.push({ reason: "FieldValueTooMany", field: path, message });
  }
  validateUnique(schema, value, path, uniqueItems === true, errors);
  for (const [index, item] of value.entries()) {
    validate(schema["items"], item, `${path}[${index}]`, errors);
  }
}

/** Sets and maps hold each item or key once. */
function validateUnique(
  schema: Json,
  value: readonly Json[],
  path: string,
  unique: boolean,
  errors: FieldError[],
): void {
  const listType = schema["x-kubernetes-list-type"];
  if (!unique && listType !== "set" && listType !== "map") return;
  const keys: string[] = schema["x-kubernetes-list-map-keys"] ?? [];
  const seen = new Set<string>();
  for (const [index, item] of value.entries()) {
    const id =
      listType === "map" ? Object.fromEntries(keys.map((key) => [key, item?.[key]])) : item;
    const text = JSON.stringify(id);
    if (seen.has(text)) {
      const field = `${path}[${index}]`;
      errors.push({ reason: "FieldValueDuplicate", field, message: `Duplicate value: ${text}` });
    }
    seen.add(text);
  }
}

function validateObject(
  schema: Json,
  value: Record<string, Json>,
  path: string,
  errors: FieldError[],
  wrong: Wrong,
): void {
  const at = (name: string): string => (path === "" ? name : `${path}.${name}`);
  const count = Object.keys(value).length;
  if (count < (schema["minProperties"] ?? 0)) {
    wrong(`${path} in body should have at least ${schema["minProperties"]} properties`, count);
  }
  if (count > (schema["maxProperties"] ?? Number.POSITIVE_INFINITY)) {
    wrong(`${path} in body should have at most ${schema["maxProperties"]} properties`, count);
  }
  for (const name of schema["required"] ?? []) {
    if (value[name] !== undefined) continue;
    errors.push({ reason: "FieldValueRequired", field: at(name), message: "Required value" });
  }
  const properties: Json = schema["properties"] ?? {};
  for (const [name, item] of Object.entries(value)) {
    if (Object.hasOwn(properties, name)) validate(properties[name], item, at(name), errors);
    else if (isObject(schema["additionalProperties"])) {
      validate(schema["additionalProperties"], item, at(name), errors);
    }
  }
}

function validateCombinations(
  schema: Json,
  value: Json,
  path: string,
  errors: FieldError[],
  wrong: Wrong,
): void {
  const passes = (one: Json): boolean => {
    const found: FieldError[] = [];
    validate(one, value, path, found);
    return found.length === 0;
  };
  for (const one of schema["allOf"] ?? []) validate(one, value, path, errors);
  const name = JSON.stringify(path);
  const { anyOf, oneOf, not } = schema;
  if (anyOf !== undefined && !anyOf.some(passes)) {
    wrong(`${name} must validate at least one schema (anyOf)`, "");
  }
  if (oneOf !== undefined) {
    const valid = oneOf.filter(passes).length;
    const text = valid === 0 ? "Found none valid" : `Found ${valid} valid alternatives`;
    if (valid !== 1) wrong(`${name} must validate one and only one schema (oneOf). ${text}`, "");
  }
  if (not !== undefined && passes(not)) wrong(`${name} must not validate the schema (not)`, "");
}
