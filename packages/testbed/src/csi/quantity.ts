/**
 * Kubernetes quantities of bytes, as sizes of volumes are written.
 * Proof: test/csi/quantity.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";

const units: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

/**
 * Bytes, rounded up as Kubernetes does.
 * @throws {FormatError} `DM_QUANTITY_INVALID`
 * @example parseBytes("1.5Gi"); // 1610612736
 */
export function parseBytes(quantity: string | number): number {
  const found = /^(\d+(?:\.\d*)?(?:e\d+)?|\.\d+)([kMGTP]|[KMGTP]i)?$/i.exec(String(quantity));
  const unit = units[found?.[2] ?? ""];
  if (!found || unit === undefined)
    throw new FormatError(
      "DM_QUANTITY_INVALID",
      `${JSON.stringify(quantity)} is no size of a volume`,
    );
  return Math.ceil(Number(found[1]) * unit);
}

/** In the largest binary unit that leaves no remainder: `1Gi`, `1025Mi`, `1500`. */
export function formatBytes(bytes: number): string {
  for (const unit of ["Pi", "Ti", "Gi", "Mi", "Ki"])
    if (bytes > 0 && bytes % units[unit]! === 0) return `${bytes / units[unit]!}${unit}`;
  return String(bytes);
}
