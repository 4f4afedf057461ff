/**
 * The table that `kubectl get -A` prints, from the columns and rows that the API server makes.
 * Proof: test/table.test.ts.
 * @module
 */
import type { NodeKubeClient } from "@dm/controller/runtime";

interface Table {
  readonly columnDefinitions: readonly { readonly name: string; readonly priority: number }[];
  readonly rows: readonly {
    readonly cells: readonly unknown[];
    readonly object: { readonly metadata: { readonly namespace?: string } };
  }[];
}

const tableType = "application/json;as=Table;v=v1;g=meta.k8s.io";

export async function printTable(
  client: NodeKubeClient,
  plural: "datauploads" | "datadownloads",
): Promise<string> {
  const path = `/apis/velero.io/v2alpha1/${plural}`;
  return formatTable((await client.getPath(path, { accept: tableType })) as Table);
}

/** Pure. Columns as wide as their widest cell, and three blanks between. */
export function formatTable({ columnDefinitions, rows }: Table): string {
  const shown = columnDefinitions.flatMap(({ name, priority }, index) =>
    priority === 0 ? [{ name, index }] : [],
  );
  const lines = [
    ["NAMESPACE", ...shown.map(({ name }) => name.toUpperCase())],
    ...rows.map(({ cells, object }) => [
      object.metadata.namespace ?? "",
      ...shown.map(({ index }) => String(cells[index] ?? "")),
    ]),
  ];
  const widths = lines[0]?.map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  return lines
    .map((line) => line.map((cell, column) => cell.padEnd(widths?.[column] ?? 0)).join("   "))
    .map((line) => line.trimEnd())
    .join("\n");
}
