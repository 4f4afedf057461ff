// The text of policies: what is read is written again to the byte, unset fields are left out, explicit zeros are kept, members
// that we do not know survive at every level, and what is no policy is refused.
import { expect, it } from "vitest";
import {
  decodePolicy,
  defaultPolicy,
  emptyPolicy,
  encodePolicy,
  unknownPolicyMembers,
} from "../src/index.ts";
import { arbitraryPolicy } from "./arbitrary-policy.ts";
import { fc } from "./property.ts";

const nothingSet =
  '{"retention":{},"files":{},"errorHandling":{},"scheduling":{},"compression":{},"metadataCompression":{},"splitter":{},"actions":{},"osSnapshots":{"volumeShadowCopy":{}},"logging":{"directories":{},"entries":{}},"upload":{}}';

const allSet =
  '{"retention":{"keepLatest":0,"keepHourly":1,"keepDaily":2,"keepWeekly":3,"keepMonthly":4,"keepAnnual":5,"ignoreIdenticalSnapshots":false},' +
  '"files":{"ignore":["*.log","\\u003ca\\u0026b\\u003e"],"noParentIgnore":true,"ignoreDotFiles":[".kopiaignore"],"noParentDotFiles":true,"ignoreCacheDirs":false,"maxFileSize":1000,"oneFileSystem":true},' +
  '"errorHandling":{"ignoreFileErrors":true,"ignoreDirectoryErrors":false,"ignoreUnknownTypes":false},' +
  '"scheduling":{"intervalSeconds":3600,"timeOfDay":[{"hour":0,"min":5}],"noParentTimeOfDay":true,"cron":["0 0 * * *"],"runMissed":false},' +
  '"compression":{"compressorName":"zstd","onlyCompress":[".txt"],"noParentOnlyCompress":true,"neverCompress":[".gz"],"noParentNeverCompress":true,"minSize":1,"maxSize":2},' +
  '"metadataCompression":{"compressorName":"none"},"splitter":{"algorithm":"FIXED-4M"},' +
  '"actions":{"beforeFolder":{"path":"/bin/true","args":["a"],"timeout":300,"mode":"essential"},"afterSnapshotRoot":{"script":"echo\\n"}},' +
  '"osSnapshots":{"volumeShadowCopy":{"enable":2}},' +
  '"logging":{"directories":{"snapshotted":0,"ignored":10},"entries":{"snapshotted":1,"ignored":2,"cacheHit":3,"cacheMiss":4}},' +
  '"upload":{"maxParallelSnapshots":0,"maxParallelFileReads":8,"parallelUploadAboveSize":-1},"noParent":true}';

it("writes what it has read, to the byte", () => {
  for (const text of [nothingSet, allSet]) expect(encodePolicy(decodePolicy(text))).toBe(text);
  expect(decodePolicy(nothingSet)).toEqual(emptyPolicy);
  expect(encodePolicy(emptyPolicy)).toBe(nothingSet);
  expect(decodePolicy("{}")).toEqual(emptyPolicy);
  expect(decodePolicy('{"retention":null,"files":{"ignore":null},"noParent":null}')).toEqual(
    emptyPolicy,
  );
});

it("leaves out what is unset, and keeps zeros that are not", () => {
  const unset = {
    ...emptyPolicy,
    files: { ignore: [], maxFileSize: 0, noParentIgnore: false },
    compression: { compressorName: "", minSize: 0 },
    scheduling: { timeOfDay: [], manual: false },
    noParent: false,
  };
  expect(encodePolicy(unset)).toBe(nothingSet);
  expect(encodePolicy({ ...emptyPolicy, retention: { keepLatest: 0 } })).toContain(
    '{"retention":{"keepLatest":0},',
  );
});

it("keeps members that it does not know, at every level", () => {
  const text =
    '{"retention":{"keepLatest":1,"keepEver":[1, 2]},"files":{},"errorHandling":{},"scheduling":{},"compression":{},"metadataCompression":{},"splitter":{},' +
    '"actions":{"beforeFolder":{"path":"a","user":"b"}},"osSnapshots":{"volumeShadowCopy":{"x":1.50}},"logging":{"directories":{},"entries":{"y":"\\u003c"},"z":{}},"upload":{},"noParent":true,"new":{"a":null}}';
  const policy = decodePolicy(text);
  expect(encodePolicy(policy)).toBe(text);
  expect(unknownPolicyMembers(policy)).toEqual([
    "retention.keepEver",
    "actions.beforeFolder.user",
    "osSnapshots.volumeShadowCopy.x",
    "logging.entries.y",
    "logging.z",
    "new",
  ]);
  const changed = { ...policy, retention: { ...policy.retention, keepLatest: 2 } };
  expect(encodePolicy(changed)).toBe(text.replace('"keepLatest":1', '"keepLatest":2'));
});

it("keeps the largest integer of Go, which stands for no limit", () => {
  const text = nothingSet.replace(
    '"upload":{}',
    '"upload":{"parallelUploadAboveSize":9223372036854775807}',
  );
  expect(encodePolicy(decodePolicy(text))).toBe(text);
});

it("matches names without regard to case, as Go does", () => {
  expect(decodePolicy('{"Retention":{"KEEPLATEST":3}}').retention.keepLatest).toBe(3);
});

it.each([
  ["[]", ""],
  ["{", ""],
  ['{"retention":{"keepLatest":1.5}}', "retention.keepLatest"],
  ['{"retention":{"keepLatest":9007199254740993}}', "retention.keepLatest"],
  ['{"files":{"ignore":[1]}}', "files.ignore[0]"],
  ['{"files":[]}', "files"],
  ['{"scheduling":{"timeOfDay":[{"hour":24}]}}', "scheduling.timeOfDay[0].hour"],
  ['{"logging":{"entries":{"cacheHit":"5"}}}', "logging.entries.cacheHit"],
  ['{"actions":{"beforeFolder":{"timeout":"1"}}}', "actions.beforeFolder.timeout"],
  ['{"noParent":1}', "noParent"],
])("refuses %s", (text, where) => {
  expect(() => decodePolicy(text, "id1")).toThrow(
    expect.objectContaining({
      code: "DM_POLICY_INVALID",
      details: { manifestId: "id1", where },
    }),
  );
});

it("refuses to write numbers that are not integers", () => {
  expect(() => encodePolicy({ ...emptyPolicy, retention: { keepLatest: 0.5 } })).toThrow(
    RangeError,
  );
});

it("writes the defaults as a new repository has them", () => {
  expect(JSON.parse(encodePolicy(defaultPolicy))).toEqual(defaultPolicy);
});

it("writes and reads any policy", () => {
  fc.assert(
    fc.property(arbitraryPolicy, (policy) => {
      const text = encodePolicy(policy);
      expect(decodePolicy(text)).toEqual(policy);
      expect(encodePolicy(decodePolicy(text))).toBe(text);
    }),
  );
});
