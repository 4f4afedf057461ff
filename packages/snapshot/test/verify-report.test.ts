// The written report: its whole form, for a run that found something.
import { FormatError } from "@dm/core";
import { expect, it } from "vitest";
import { ReadProofs, verifyReportFile, verifySnapshots } from "../src/index.ts";
import { entryOf } from "./made-up.ts";
import { directoryIn, fileIn, newRepository, snapshotIn } from "./new-repository.ts";

it("tells what was asked for, counted, found and proven", async () => {
  const { repository } = await newRepository();
  await using session = await repository.openWriteSession();
  const sound = await fileIn(session, "sound", new Uint8Array(10));
  const other = await fileIn(session, "other", new Uint8Array(20));
  const missing = entryOf({ name: "missing", sizeBytes: 5, objectId: "00".repeat(16) });
  const bad = await directoryIn(session, "bad", [sound, missing]);
  const good = await directoryIn(session, "good", [sound, other]);
  const snapshots = [
    await snapshotIn(session, bad, { startedAtNs: 1_600_000_000_000_000_000n }),
    await snapshotIn(session, good),
  ];
  await session.commit();
  const proofs = new ReadProofs("00ff", "seed");
  const at = repository.clock.nowNs() - 90_000_000_000n;
  proofs.add(sound.objectId, at);
  const report = await verifySnapshots(repository, snapshots, { proofs });
  const startedAtNs = at;
  const endedAtNs = at + 100_500_000_000n;
  const file = verifyReportFile(report, {
    snapshots,
    repositoryId: "00ff",
    startedAtNs,
    endedAtNs,
  });
  expect(JSON.parse(JSON.stringify(file))).toEqual({
    version: 1,
    repository: "00ff",
    startTime: expect.stringMatching(/^20..-.*Z$/),
    endTime: expect.stringMatching(/^20..-.*Z$/),
    ok: false,
    cutOff: false,
    snapshots: [
      {
        id: snapshots[0]!.id,
        source: { host: "h", userName: "u", path: "/p" },
        startTime: "2020-09-13T12:26:40Z",
        rootObjectId: bad.objectId,
        ok: false,
      },
      {
        id: snapshots[1]!.id,
        source: { host: "h", userName: "u", path: "/p" },
        startTime: "2023-11-14T22:13:20Z",
        rootObjectId: good.objectId,
        ok: true,
      },
    ],
    choice: { share: 1, from: 0, seed: "seed" },
    counts: {
      objects: 5,
      files: 3,
      bytes: 35,
      filesRead: 1,
      bytesRead: 20,
      filesProvenEarlier: 1,
      bytesProvenEarlier: 10,
    },
    proof: {
      share: 2 / 3,
      oldest: file.startTime,
      newest: expect.stringMatching(/^20..-.*Z$/),
      oldestAgeSeconds: 100,
    },
    errorCount: 1,
    errors: [
      {
        snapshot: snapshots[0]!.id,
        path: "missing",
        objectId: missing.objectId,
        code: "DM_CONTENT_NOT_FOUND",
        message: expect.stringContaining("is in no index"),
      },
    ],
  });
  // A manifest that could not be read is an error, too.
  const error = new FormatError("DM_SNAPSHOT_INVALID", "not JSON");
  const soundReport = await verifySnapshots(repository, [snapshots[1]!]);
  const options = { snapshots: [], repositoryId: "00ff", startedAtNs, endedAtNs };
  expect(verifyReportFile(soundReport, options)).toMatchObject({ ok: true, errorCount: 0 });
  const unreadable = new Map([["ab", error]]);
  expect(verifyReportFile(soundReport, { ...options, unreadable })).toMatchObject({
    ok: false,
    errorCount: 1,
    errors: [{ snapshot: "ab", path: "", code: "DM_SNAPSHOT_INVALID", message: "not JSON" }],
  });
});
