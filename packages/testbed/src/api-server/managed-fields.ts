/**
 * Who set which field (`metadata.managedFields`), and server-side apply, which rests on it.
 * Proof: test/api-server/server-side-apply.test.ts.
 * @module
 */
import type { Json, NewObject, StoredObject } from "../kube-object.ts";
import { ApiError } from "./api-error.ts";
import {
  decodeFields,
  encodeFields,
  type FieldPath,
  type FieldType,
  fieldValues,
  mergeApplied,
  pathText,
  removeField,
} from "./field-paths.ts";
import { equalJson } from "./json.ts";

export interface ManagedEntry {
  readonly manager: string;
  readonly operation: "Apply" | "Update";
  readonly apiVersion: string;
  readonly time: string;
  readonly fieldsType: "FieldsV1";
  readonly fieldsV1: Json;
  readonly subresource?: string;
}

/** Who writes, and how. */
export interface FieldWriter {
  readonly manager: string;
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string;
}

interface Ownership {
  readonly entry: ManagedEntry;
  readonly paths: Set<FieldPath>;
}

function ownershipOf(entries: Json): Ownership[] {
  if (!Array.isArray(entries)) return [];
  return entries
    .filter((entry) => entry?.manager !== undefined)
    .map((entry) => ({ entry, paths: decodeFields(entry.fieldsV1) }));
}

function entriesOf(owners: readonly Ownership[]): ManagedEntry[] | undefined {
  const entries = owners
    .filter(({ paths }) => paths.size > 0)
    .map(({ entry, paths }) => ({ ...entry, fieldsV1: encodeFields(paths) }));
  return entries.length === 0 ? undefined : entries;
}

function isOf(entry: ManagedEntry, writer: FieldWriter, operation: "Apply" | "Update"): boolean {
  return (
    entry.manager === writer.manager &&
    entry.operation === operation &&
    entry.apiVersion === writer.apiVersion &&
    (entry.subresource ?? "") === writer.subresource
  );
}

function newEntry(writer: FieldWriter, operation: "Apply" | "Update"): ManagedEntry {
  const { manager, apiVersion, time, subresource } = writer;
  return {
    manager,
    operation,
    apiVersion,
    time,
    fieldsType: "FieldsV1",
    fieldsV1: {},
    ...(subresource === "" ? {} : { subresource }),
  };
}

/** The entries after a write that is not an apply: the writer owns what it changed. */
export function managedAfterUpdate(
  entries: Json,
  before: StoredObject | undefined,
  after: StoredObject,
  type: FieldType,
  writer: FieldWriter,
): ManagedEntry[] | undefined {
  const values = fieldValues(after, type);
  const earlier = before === undefined ? new Map<FieldPath, Json>() : fieldValues(before, type);
  const changed = new Set<FieldPath>();
  for (const [path, value] of values) {
    if (!earlier.has(path) || !equalJson(earlier.get(path), value)) changed.add(path);
  }
  const removed = [...earlier.keys()].some((path) => !values.has(path));
  if (changed.size === 0 && !removed) return Array.isArray(entries) ? entries : undefined;

  const owners = ownershipOf(entries);
  for (const { paths } of owners) {
    for (const path of paths) if (changed.has(path) || !values.has(path)) paths.delete(path);
  }
  if (changed.size > 0) {
    const own = owners.findIndex(({ entry }) => isOf(entry, writer, "Update"));
    const { time } = writer;
    const owner = owners[own];
    if (owner === undefined) owners.push({ entry: newEntry(writer, "Update"), paths: changed });
    else {
      owners[own] = {
        entry: { ...owner.entry, time },
        paths: new Set([...owner.paths, ...changed]),
      };
    }
  }
  return entriesOf(owners);
}

interface Conflict {
  readonly entry: ManagedEntry;
  readonly path: FieldPath;
}

/**
 * What an apply makes of the object that is there.
 * @throws {ApiError} 409 when others own fields with other values, unless `force`
 */
export function applyConfiguration(
  live: StoredObject,
  applied: NewObject,
  type: FieldType,
  writer: FieldWriter,
  force: boolean,
): NewObject {
  const wanted = fieldValues(applied, type);
  const values = fieldValues(live, type);
  const owners = ownershipOf(live.metadata["managedFields"]);
  const own = owners.find(({ entry }) => isOf(entry, writer, "Apply"));

  const conflicts: Conflict[] = [];
  for (const { entry, paths } of owners) {
    if (entry === own?.entry) continue;
    for (const path of paths) {
      if (!wanted.has(path) || equalJson(wanted.get(path), values.get(path))) continue;
      conflicts.push({ entry, path });
      if (force) paths.delete(path);
    }
  }
  if (conflicts.length > 0 && !force) throw applyConflict(conflicts);

  const merged = mergeApplied(live, applied, type);
  for (const path of own?.paths ?? []) {
    if (wanted.has(path)) continue;
    if (!owners.some((other) => other !== own && other.paths.has(path))) removeField(merged, path);
  }
  const paths = new Set(wanted.keys());
  const unchanged =
    own !== undefined &&
    own.paths.size === paths.size &&
    [...paths].every((path) => own.paths.has(path));
  const entry = unchanged ? own.entry : newEntry(writer, "Apply");
  const place = own === undefined ? owners.length : owners.indexOf(own);
  merged.metadata.managedFields = entriesOf(owners.toSpliced(place, 1, { entry, paths }));
  return merged;
}

/** The entries of an object that an apply makes. */
export function managedAfterCreate(
  applied: NewObject,
  type: FieldType,
  writer: FieldWriter,
): ManagedEntry[] | undefined {
  const paths = new Set(fieldValues(applied, type).keys());
  return entriesOf([{ entry: newEntry(writer, "Apply"), paths }]);
}

function applyConflict(conflicts: readonly Conflict[]): ApiError {
  const nameOf = ({ manager, operation, apiVersion, subresource }: ManagedEntry): string => {
    const name = JSON.stringify(manager);
    if (operation === "Apply") return name;
    const part =
      subresource === undefined ? "" : ` with subresource ${JSON.stringify(subresource)}`;
    return `${name}${part} using ${apiVersion}`;
  };
  const byManager = new Map<string, FieldPath[]>();
  for (const { entry, path } of conflicts) {
    const name = nameOf(entry);
    byManager.set(name, [...(byManager.get(name) ?? []), path]);
  }
  const [only] = conflicts;
  const text =
    conflicts.length === 1 && only !== undefined
      ? `conflict: conflict with ${nameOf(only.entry)}: ${pathText(only.path)}`
      : `conflicts: ${[...byManager]
          .map(([name, paths]) => {
            const lines = paths.map((path) => `- ${pathText(path)}`);
            return `conflicts with ${name}:\n${lines.join("\n")}`;
          })
          .join("\n")}`;
  return new ApiError(409, "Conflict", `Apply failed with ${conflicts.length} ${text}`, {
    causes: conflicts.map(({ entry, path }) => ({
      reason: "FieldManagerConflict",
      message: `conflict with ${nameOf(entry)}`,
      field: pathText(path),
    })),
  });
}
