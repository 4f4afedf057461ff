// Which phases are final, and that an object without one counts as new.
import { describe, expect, it } from "vitest";
import {
  backupPhases,
  type DataUpload,
  dataMovementPhases,
  isFinalBackupPhase,
  isFinalPhase,
  phaseOf,
  restorePhases,
} from "../src/index.ts";

describe("isFinalPhase", () => {
  it("is true for the three phases that are never left", () => {
    expect(dataMovementPhases.filter(isFinalPhase)).toEqual(["Canceled", "Completed", "Failed"]);
  });

  it("is false for objects without a phase", () => {
    expect(isFinalPhase(undefined)).toBe(false);
    expect(isFinalPhase("")).toBe(false);
  });
});

describe("isFinalBackupPhase", () => {
  const final = ["FailedValidation", "Completed", "PartiallyFailed", "Failed"];

  it("is true for the same phases of backups and restores", () => {
    expect(new Set(backupPhases.filter(isFinalBackupPhase))).toEqual(new Set(final));
    expect(new Set(restorePhases.filter(isFinalBackupPhase))).toEqual(new Set(final));
    expect(isFinalBackupPhase(undefined)).toBe(false);
  });
});

describe("phaseOf", () => {
  const upload: DataUpload = {
    metadata: { name: "a" },
    spec: {
      backupStorageLocation: "default",
      operationTimeout: "10m0s",
      snapshotType: "CSI",
      sourceNamespace: "apps",
      sourcePVC: "data",
    },
  };

  it("is New until a controller wrote one", () => {
    expect(phaseOf(upload)).toBe("New");
    expect(phaseOf({ ...upload, status: {} })).toBe("New");
    expect(phaseOf({ ...upload, status: { phase: "Prepared" } })).toBe("Prepared");
  });
});
