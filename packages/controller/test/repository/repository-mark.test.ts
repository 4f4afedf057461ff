// What is remembered of a repository, and what of a location counts as another place or as a change.
import type { BackupRepository, BackupStorageLocation } from "@dm/crds";
import { describe, expect, it } from "vitest";
import {
  fingerprintOf,
  markAnnotation,
  placeOf,
  readMark,
  withMark,
} from "../../src/repository/repository-mark.ts";

const repository = (annotations?: Record<string, string>): BackupRepository =>
  ({ metadata: { name: "r", ...(annotations && { annotations }) }, spec: {} }) as BackupRepository;

it("comes back, and leaves other annotations alone", () => {
  const mark = { uniqueID: "id", place: "p", attempt: { atMs: 1, inputs: "i" } };
  const marked = withMark(repository({ other: "1" }), mark);
  expect(readMark(marked)).toEqual(mark);
  expect(marked.metadata.annotations).toMatchObject({ other: "1" });
});

it.each(["", "{", "null", "3"])("%j counts as none", (text) => {
  expect(readMark(repository({ [markAnnotation]: text }))).toEqual({});
});

type Spec = BackupStorageLocation["spec"];
const spec: Spec = {
  provider: "aws",
  objectStorage: { bucket: "b", prefix: "velero" },
  config: { region: "r", s3Url: "https://s3" },
};
const of = (change: Partial<Spec>): BackupStorageLocation => ({
  metadata: {},
  spec: { ...spec, ...change },
});

describe.each<[string, Partial<Spec>, place: boolean, fingerprint: boolean]>([
  ["another order of settings", { config: { s3Url: "https://s3", region: "r" } }, false, false],
  ["credentials", { credential: { name: "c", key: "cloud" } }, false, false],
  ["an access mode", { accessMode: "ReadOnly" }, false, false],
  ["the provider's long name", { provider: "velero.io/aws" }, false, true],
  [
    "slashes around the prefix",
    { objectStorage: { bucket: "b", prefix: "/velero/" } },
    false,
    true,
  ],
  [
    "certificates",
    { objectStorage: { bucket: "b", prefix: "velero", caCert: "Q0E=" } },
    false,
    true,
  ],
  ["TLS", { config: { ...spec.config, insecureSkipTLSVerify: "true" } }, false, true],
  ["a bucket", { objectStorage: { bucket: "c", prefix: "velero" } }, true, true],
  ["a prefix", { objectStorage: { bucket: "b", prefix: "x" } }, true, true],
  ["a server", { config: { ...spec.config, s3Url: "https://other" } }, true, true],
])("%s", (_, change, isOtherPlace, isOtherFingerprint) => {
  it(`${isOtherPlace ? "is another place" : "is the same place"}`, () => {
    expect(placeOf(of(change)) !== placeOf(of({}))).toBe(isOtherPlace);
  });
  it(`${isOtherFingerprint ? "invalidates" : "does not invalidate"}`, () => {
    expect(fingerprintOf(of(change)) !== fingerprintOf(of({}))).toBe(isOtherFingerprint);
  });
});
