export interface Ecc {
  encode(data: Uint8Array): Uint8Array;
  decode(stored: Uint8Array): { data: Uint8Array; repairedShards: number };
  encodedLength(length: number): number;
}
export function createEcc(_algorithm: string, _overheadPercent: number): Ecc {
  throw new Error("ecc");
}
