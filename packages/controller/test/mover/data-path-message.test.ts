/** The texts between mover and node agent: every result comes back as it was, and no message of a failure is too long or unclear. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type BackupResult,
  decodeBackupResult,
  decodeOutcome,
  decodeProgress,
  encodeBackupResult,
  encodeCanceled,
  encodeFailure,
  encodeInterrupted,
  encodeProgress,
  encodeRestoreResult,
  maxTerminationMessageBytes,
} from "../../src/mover/data-path-message.ts";

const snapshotID = "0123456789abcdef0123456789abcdef";
const backup: BackupResult = {
  snapshotID,
  emptySnapshot: false,
  source: { byPath: "/uid", volumeMode: "Filesystem" },
  totalBytes: 12,
  incrementalBytes: 5,
};

describe("results", () => {
  it("are written as Velero writes them", () => {
    expect(encodeBackupResult(backup)).toBe(
      `{"snapshotID":"${snapshotID}","emptySnapshot":false,"source":{"byPath":"/uid","volumeMode":"Filesystem"},"totalBytes":12,"incrementalBytes":5}`,
    );
    const target = { byPath: "/uid", volumeMode: "Block" } as const;
    expect(encodeRestoreResult({ target, totalBytes: 7 })).toBe(
      '{"target":{"byPath":"/uid","volumeMode":"Block"},"totalBytes":7}',
    );
  });

  it("come back", () => {
    expect(
      decodeOutcome("DataUpload", { exitCode: 0, message: encodeBackupResult(backup) }),
    ).toEqual({
      outcome: "backedUp",
      result: backup,
    });
    const restore = { target: backup.source, totalBytes: 0 };
    expect(
      decodeOutcome("DataDownload", { exitCode: 0, message: encodeRestoreResult(restore) }),
    ).toEqual({ outcome: "restored", result: restore });
  });

  it("of a Velero without incremental bytes are read", () => {
    const message = `{"snapshotID":"${snapshotID}","source":{"byPath":"/x"}}`;
    expect(decodeBackupResult(message)).toEqual({
      ...backup,
      source: { byPath: "/x", volumeMode: "Filesystem" },
      totalBytes: 0,
      incrementalBytes: 0,
    });
  });

  it.each([
    "",
    "{}",
    "null",
    "[]",
    "done",
    `{"snapshotID":"","source":{"byPath":"/x"}}`,
    `{"snapshotID":"${snapshotID}"}`,
    `{"snapshotID":"${snapshotID}","source":{"byPath":"/x"},"totalBytes":-1}`,
    `{"snapshotID":"${snapshotID}","source":{"byPath":"/x","volumeMode":"Tape"}}`,
  ])("that cannot be read are failures: %s", (message) => {
    expect(() => decodeBackupResult(message)).toThrow(
      expect.objectContaining({ code: "DM_MOVER_RESULT_INVALID" }),
    );
    expect(decodeOutcome("DataUpload", { exitCode: 0, message }).outcome).toBe("failed");
  });
});

describe("progress", () => {
  it("omits what is zero, as Velero does", () => {
    expect(encodeProgress({ totalBytes: 10, doneBytes: 0 })).toBe('{"totalBytes":10}');
    expect(encodeProgress({ totalBytes: 0, doneBytes: 3 })).toBe('{"doneBytes":3}');
  });

  it("comes back", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (totalBytes, doneBytes) => {
        const progress = { totalBytes, doneBytes };
        expect(decodeProgress(encodeProgress(progress))).toEqual(progress);
      }),
    );
  });

  it("that is none is undefined", () => {
    expect(decodeProgress("soon")).toBeUndefined();
    expect(decodeProgress('{"doneBytes":"3"}')).toBeUndefined();
  });
});

describe("failures", () => {
  const place = { step: "run", kind: "DataUpload", name: "b-x1" } as const;

  it("name the object, the cause and a snapshot that was saved", () => {
    const message = encodeFailure({ ...place, cause: "no space", savedSnapshotID: snapshotID });
    expect(message).toBe(
      `Failed to run data path service for DataUpload b-x1: no space; snapshot ${snapshotID} was saved`,
    );
    expect(decodeOutcome("DataUpload", { exitCode: 1, message })).toEqual({
      outcome: "failed",
      message,
      snapshotID,
    });
  });

  it("row 30: are cut to what the kubelet keeps, and keep their end", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("a", "\n", "é", "漢", "😀"), {
          minLength: 3_900,
          maxLength: 4_200,
        }),
        (characters) => {
          const cause = characters.join("");
          const message = encodeFailure({ ...place, cause, savedSnapshotID: snapshotID });
          expect(Buffer.byteLength(message)).toBeLessThanOrEqual(maxTerminationMessageBytes);
          expect(message).not.toContain("\uFFFD");
          const read = decodeOutcome("DataUpload", { exitCode: 1, message });
          expect(read).toMatchObject({ outcome: "failed", snapshotID });
        },
      ),
      { numRuns: 20 },
    );
  });

  it("are told from cancellation and interruption", () => {
    const ended = (message: string) =>
      decodeOutcome("DataUpload", { exitCode: 1, message }).outcome;
    expect(ended(encodeCanceled("DataUpload", "b"))).toBe("canceled");
    expect(ended(encodeInterrupted("DataUpload", "b"))).toBe("interrupted");
    expect(ended(encodeFailure({ ...place, cause: "data path is broken" }))).toBe("failed");
  });

  it("of a mover that was killed when it had written its result are none", () => {
    const message = encodeBackupResult(backup);
    expect(decodeOutcome("DataUpload", { exitCode: 137, message }).outcome).toBe("backedUp");
    expect(decodeOutcome("DataUpload", { exitCode: 1, message }).outcome).toBe("failed");
  });

  it("of a killed mover may be tried again, of one that ends by itself not", () => {
    const ended = (exitCode: number, reason?: string) =>
      decodeOutcome("DataDownload", { exitCode, reason });
    expect(ended(137).outcome).toBe("interrupted");
    expect(ended(143).outcome).toBe("interrupted");
    expect(ended(1, "Evicted").outcome).toBe("interrupted");
    expect(ended(137, "OOMKilled")).toEqual({
      outcome: "interrupted",
      message: "the mover ended without a message (exit code 137, OOMKilled)",
    });
    expect(ended(1).outcome).toBe("failed");
  });
});
