/** Each kind is a backup or a restore, of a volume of its own or of a pod's. */
import { expect, it } from "vitest";
import { dataPathKinds, isBackup, isPodVolume, nameFlags } from "../../src/mover/data-path-kind.ts";

it.each(dataPathKinds)("%s", (kind) => {
  expect(isBackup(kind)).toBe(/Upload|Backup/.test(kind));
  expect(isPodVolume(kind)).toBe(kind.startsWith("PodVolume"));
  expect(nameFlags[kind].replaceAll("-", "")).toBe(kind.toLowerCase());
});
