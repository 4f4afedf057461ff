import type { StructuralSchema } from "../src/index.ts";

/** Parts of the originals that data/upstream-crds.json leaves out. */
const leftOut = new Set([
  "env[]",
  "tolerations[]",
  "resourceAllocations",
  "podDnsConfig",
  "enforceBSLSpec",
  "enforceBackupSpec",
  "enforceRestoreSpec",
  "args",
  "restic",
  "dataMover",
  "initContainers[]",
  "conditions[]",
]);

/** A schema as lines, one a field: `spec.snapshotSize integer/int64 required nullable enum=a|b default="x" minimum=0`. */
export function flatFields(schema: StructuralSchema): string[] {
  const lines: string[] = [];
  const addFields = (node: StructuralSchema, path: string): void => {
    for (const [name, field] of Object.entries(node.properties ?? {})) {
      if (path === "" && ["apiVersion", "kind", "metadata"].includes(name)) continue;
      const required = node.required?.includes(name) === true;
      addLine(field, path === "" ? name : `${path}.${name}`, required);
    }
  };
  const addLine = (node: StructuralSchema, path: string, required: boolean): void => {
    const type = node.type === "object" && node.additionalProperties ? "map" : node.type;
    const words = [path, node.format === undefined ? String(type) : `${type}/${node.format}`];
    if (required) words.push("required");
    if (node.nullable) words.push("nullable");
    if (node.enum) words.push(`enum=${node.enum.join("|")}`);
    if (node.default !== undefined) words.push(`default=${JSON.stringify(node.default)}`);
    if (node.minimum !== undefined) words.push(`minimum=${node.minimum}`);
    lines.push(words.join(" "));
    const last = path.slice(path.lastIndexOf(".") + 1);
    if (node.items) {
      if (!leftOut.has(`${last}[]`)) addLine(node.items, `${path}[]`, false);
    } else if (!leftOut.has(last)) {
      if (node.additionalProperties) addLine(node.additionalProperties, `${path}.*`, false);
      else addFields(node, path);
    }
  };
  addFields(schema, "");
  return lines.sort();
}
