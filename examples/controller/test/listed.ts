/** The witness's list as an array. */
import { type ListedEntry, listVolume } from "../src/demo-pod/volume-list.ts";

export async function listed(path: string): Promise<ListedEntry[]> {
  const entries: ListedEntry[] = [];
  for await (const entry of listVolume(path)) entries.push(entry);
  return entries;
}
