// Guards tell kinds apart, refuse what the schema refuses, and hand on the object itself; errors name paths and no values.
import { isDmError } from "@dm/core";
import { describe, expect, it } from "vitest";
import {
  checkObject,
  customKindOf,
  customKinds,
  type DataUpload,
  dataUploads,
  isBackup,
  isDataDownload,
  isDataUpload,
  isOfKind,
  pods,
} from "../src/index.ts";
import objects from "./data/velero-objects.json" with { type: "json" };

const upload: DataUpload = {
  apiVersion: "velero.io/v2alpha1",
  kind: "DataUpload",
  metadata: { name: "a", namespace: "velero" },
  spec: {
    backupStorageLocation: "default",
    operationTimeout: "10m0s",
    snapshotType: "CSI",
    csiSnapshot: { volumeSnapshot: "s", storageClass: "c" },
    sourceNamespace: "apps",
    sourcePVC: "data",
  },
};
const without = (object: object, name: string): object =>
  Object.fromEntries(Object.entries(object).filter(([key]) => key !== name));

function errorOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe("isDataUpload", () => {
  it("is true for an object of the kind, and for no other", () => {
    expect(isDataUpload(upload)).toBe(true);
    expect(isDataDownload(upload)).toBe(false);
    expect(isBackup(upload)).toBe(false);
    expect(isDataUpload({ ...upload, apiVersion: "velero.io/v1" })).toBe(false);
    expect(isDataUpload(without(upload, "kind"))).toBe(false);
  });

  it.each([null, undefined, "DataUpload", 1, [], {}])("is false for %j", (value) => {
    expect(isDataUpload(value)).toBe(false);
  });

  it.each([
    "backupStorageLocation",
    "operationTimeout",
    "snapshotType",
    "sourceNamespace",
    "sourcePVC",
  ])("is false without spec.%s", (name) => {
    expect(isDataUpload({ ...upload, spec: without(upload.spec, name) })).toBe(false);
  });

  it("is false without spec, with a phase that does not exist, and with numbers for text", () => {
    expect(isDataUpload(without(upload, "spec"))).toBe(false);
    expect(isDataUpload({ ...upload, status: { phase: "Sleeping" } })).toBe(false);
    expect(isDataUpload({ ...upload, spec: { ...upload.spec, operationTimeout: 600 } })).toBe(
      false,
    );
  });

  it("is true with csiSnapshot null, which the API allows", () => {
    expect(isDataUpload({ ...upload, spec: { ...upload.spec, csiSnapshot: null } })).toBe(true);
    expect(isDataUpload({ ...upload, spec: { ...upload.spec, cancel: null } })).toBe(false);
  });
});

describe("every guard", () => {
  it("takes the objects that Velero left, and none of another kind", async () => {
    const all = (await import("../src/index.ts")) as unknown as Record<string, unknown>;
    const seen = new Set<string>();
    for (const object of [...objects.main, ...objects["1.12"], ...objects.newer]) {
      for (const { resource } of customKinds) {
        const guard = all[`is${resource.kind}`] as (value: unknown) => boolean;
        expect(guard(object), `is${resource.kind} of ${object.metadata.name}`).toBe(
          object.kind === resource.kind,
        );
      }
      seen.add(object.kind);
    }
    expect(seen.size).toBe(5);
  });
});

describe("isOfKind and customKindOf", () => {
  it("look at apiVersion and kind alone", () => {
    const broken = { apiVersion: "velero.io/v2alpha1", kind: "DataUpload", metadata: {} };
    expect(isOfKind(dataUploads, broken)).toBe(true);
    expect(customKindOf(broken)?.singular).toBe("dataupload");
    expect(customKindOf({ apiVersion: "v1", kind: "Pod", metadata: {} })).toBeUndefined();
  });
});

describe("checkObject", () => {
  it("gives the same object back", () => {
    expect(checkObject(dataUploads, upload)).toBe(upload);
    const item = without(without(upload, "kind"), "apiVersion");
    expect(checkObject(dataUploads, item)).toBe(item);
  });

  it("names every path at fault, and no value", () => {
    const secret = "hunter2";
    const spec = { ...upload.spec, sourcePVC: undefined, cancel: secret, snapshotType: 1 };
    const error = errorOf(() =>
      checkObject(dataUploads, { ...upload, spec, status: { phase: secret } }),
    );
    expect(isDmError(error, "DM_CRD_OBJECT_INVALID")).toBe(true);
    const { message } = error as Error;
    expect(message).toContain("DataUpload velero/a is not valid");
    for (const path of ["spec.sourcePVC", "spec.cancel", "spec.snapshotType", "status.phase"]) {
      expect(message).toContain(path);
    }
    expect(message).not.toContain(secret);
    expect(JSON.stringify(error)).not.toContain(secret);
  });

  it("refuses other kinds and what is no object", () => {
    expect(
      isDmError(
        errorOf(() => checkObject(dataUploads, { ...upload, kind: "Pod" })),
        "DM_CRD_OBJECT_INVALID",
      ),
    ).toBe(true);
    for (const value of [null, undefined, "x"]) {
      expect(
        isDmError(
          errorOf(() => checkObject(dataUploads, value)),
          "DM_CRD_OBJECT_INVALID",
        ),
      ).toBe(true);
    }
    expect(() => checkObject(pods, {})).toThrow(RangeError);
  });
});
