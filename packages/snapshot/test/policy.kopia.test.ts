// Policies beside the real kopia: what it writes we read and write again to the byte; what we write it merges as we do, made-up
// policies for a tree of targets included; and what its uploader does with them.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { compressors } from "@dm/compression";
import type { Json } from "@dm/fixtures";
import type { Repository } from "@dm/repo";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  compressorOf,
  defaultPolicy,
  deletePolicy,
  effectivePolicy,
  emptyPolicy,
  encodePolicy,
  globalPolicyTarget,
  listPolicies,
  metadataCompressorOf,
  openSnapshot,
  type Policy,
  type PolicyTarget,
  policyLabels,
  policyTree,
  readPolicy,
  setPolicy,
  walkTree,
} from "../src/index.ts";
import { arbitraryPolicy } from "./arbitrary-policy.ts";
import { KopiaClient, kopiaPeer } from "./kopia-client.ts";
import { fc } from "./property.ts";

const textOf = ({ host, path, userName }: PolicyTarget): string =>
  `${userName}@${host}${path === "" ? "" : `:${path}`}`;

describe.skipIf(!kopiaPeer.available)(kopiaPeer.title("policies of kopia"), () => {
  const kopia = new KopiaClient();
  const folder = mkdtempSync(join(tmpdir(), "dm-policy-"));
  const client = {
    host: hostname().split(".")[0]!.toLowerCase(),
    userName: userInfo().username,
  };
  const path = { host: "h1", userName: "u1", path: "/a/b/c" };
  const targets: PolicyTarget[] = [
    path,
    { ...path, path: "/a/b" },
    { ...path, path: "/a" },
    { ...path, path: "/" },
    { ...path, path: "" },
    { ...path, path: "", userName: "" },
    globalPolicyTarget,
  ];

  beforeAll(() => kopia.create());

  afterAll(() => {
    kopia[Symbol.dispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  const stored = async (repository: Repository, target: PolicyTarget): Promise<string> =>
    (await repository.findManifests(policyLabels(target)))[0]!.data;

  const show = async (shown: readonly PolicyTarget[]): Promise<string[]> => {
    const texts = shown.filter(({ host }) => host !== "").map(textOf);
    const lines = (await kopia.run("policy", "show", "--json", ...texts)).trim().split("\n");
    const last = shown.some(({ host }) => host === "");
    return last
      ? [...lines, (await kopia.run("policy", "show", "--json", "--global")).trim()]
      : lines;
  };

  it("of a new repository are the defaults, spelled out", async () => {
    await using repository = await kopia.open();
    expect(await stored(repository, globalPolicyTarget)).toBe(encodePolicy(defaultPolicy));
  });

  it("are read, and written again to the byte", async () => {
    const flags = [
      "--keep-latest=0 --keep-hourly=1 --keep-annual=inherit --ignore-identical-snapshots=true",
      "--add-ignore=*.log --add-ignore=<a&b> --add-dot-ignore=.x --max-file-size=1000",
      "--one-file-system=true --ignore-cache-dirs=false --ignore-file-errors=true",
      "--ignore-unknown-types=false --compression=zstd --compression-min-size=5",
      "--add-only-compress=.txt --add-never-compress=.gz --metadata-compression=none",
      "--splitter=FIXED-4M --snapshot-interval=1h --snapshot-time=10:05,1:00 --run-missed=false",
      "--log-dir-snapshotted=0 --log-entry-cache-miss=10 --enable-volume-shadow-copy=always",
      "--max-parallel-file-reads=3 --parallel-upload-above-size-mib=-1 --inherit=false",
      "--before-folder-action=/bin/true --after-snapshot-root-action=/bin/false",
    ];
    const words = flags.flatMap((line) => line.split(" "));
    await kopia.run(
      "policy",
      "set",
      textOf(path),
      ...words,
      "--snapshot-time-crontab=0 0 * * *;1 1 * * *",
    );
    await kopia.run("policy", "set", "@h1", "--max-parallel-snapshots=4", "--manual");
    await using repository = await kopia.open();
    for (const target of [path, { host: "h1", userName: "", path: "" }]) {
      const text = await stored(repository, target);
      expect(encodePolicy((await readPolicy(repository, target))!)).toBe(text);
    }
    expect(await readPolicy(repository, path)).toMatchObject({
      retention: { keepLatest: 0, keepHourly: 1, ignoreIdenticalSnapshots: true },
      files: { ignore: ["*.log", "<a&b>"], maxFileSize: 1000 },
      scheduling: {
        timeOfDay: [
          { hour: 1, min: 0 },
          { hour: 10, min: 5 },
        ],
      },
      upload: { parallelUploadAboveSize: -(2 ** 20) },
      actions: { beforeFolder: { path: "/bin/true", timeout: 300, mode: "essential" } },
      noParent: true,
    });
  });

  it("are merged as kopia merges them", async () => {
    await using repository = await kopia.open();
    const session = await repository.openWriteSession();
    for (const { target } of await listPolicies(repository)) await deletePolicy(session, target);
    const defined = fc.option(fc.tuple(arbitraryPolicy, fc.integer({ min: 0, max: 5 })), {
      nil: undefined,
    });
    const all: PolicyTarget[] = [];
    for (let index = 0; index < (process.env["DM_FULL"] ? 200 : 15); index++)
      for (const target of targets.slice(0, -1)) all.push({ ...target, host: `host${index}` });
    all.push(globalPolicyTarget);
    for (const [index, found] of fc.sample(defined, Math.ceil(all.length * 1.2)).entries()) {
      if (!found) continue;
      const [policy, stop] = found;
      const rawData = encodePolicy({ ...readable(policy), noParent: stop === 0 });
      // Some have two, set by two clients at once.
      session.putManifest(policyLabels(all[index % all.length]!), undefined, { rawData });
    }
    await session.commit();
    const shown = await show(all);
    for (const [index, target] of all.entries()) {
      const { policy } = await effectivePolicy(repository, target);
      expect(encodePolicy(policy), textOf(target)).toBe(shown[index]);
    }
  });

  it("are listed by kopia when we have set them, and not when we have deleted them", async () => {
    const shown = async (): Promise<string[]> => {
      const list: Json[] = JSON.parse(await kopia.run("policy", "list", "--json"));
      return list.map(({ id, target }) => `${id} ${textOf(target)}`).sort();
    };
    await using repository = await kopia.open();
    const session = await repository.openWriteSession();
    for (const { target } of await listPolicies(repository)) await deletePolicy(session, target);
    for (const target of targets) await setPolicy(session, target, emptyPolicy);
    await session.flush();
    const ours = await listPolicies(repository);
    expect(ours).toHaveLength(targets.length);
    expect(await shown()).toEqual(ours.map(({ id, target }) => `${id} ${textOf(target)}`).sort());
    for (const target of targets) await deletePolicy(session, target);
    await session.commit();
    expect(await shown()).toEqual([]);
  });

  it("count in kopia's uploads where our tree of policies says so", async () => {
    const root = join(folder, "root");
    const files = [
      "a.txt",
      "a.gz",
      "small.txt",
      "raw/a.txt",
      "raw/deep/a.txt",
      "zip/a.txt",
      "zip/a.gz",
    ];
    for (const directory of ["raw/deep", "zip"])
      mkdirSync(join(root, directory), { recursive: true });
    for (const [index, file] of files.entries())
      writeFileSync(join(root, file), `${index}`.repeat(file.startsWith("small") ? 99 : 5000));
    const source = { ...client, path: root };
    await using repository = await kopia.open();
    const session = await repository.openWriteSession();
    const compression = { compressorName: "zstd-fastest", minSize: 100, neverCompress: [".gz"] };
    await setPolicy(session, globalPolicyTarget, { ...emptyPolicy, compression });
    const below = (name: string): PolicyTarget => ({ ...source, path: join(root, name) });
    await setPolicy(session, below("raw"), { ...emptyPolicy, files: { ignore: ["x"] } });
    await setPolicy(session, below("zip"), {
      ...emptyPolicy,
      compression: { compressorName: "pgzip" },
    });
    await setPolicy(session, below("zip/a.txt"), {
      ...emptyPolicy,
      compression: { compressorName: "s2-default" },
    });
    await session.commit();
    const made: Json = JSON.parse(await kopia.run("snapshot", "create", root, "--json"));
    const contents: Json[] = JSON.parse(await kopia.run("content", "list", "--json", "-l"));
    const used = new Map(contents.map(({ contentID, compression: id = 0 }) => [contentID, id]));
    await repository.refresh();
    const tree = await policyTree(repository, source);
    const seen = new Set<string>();
    const { rootEntry } = await openSnapshot(repository, made.id);
    for await (const { entry, path: at } of walkTree(repository, rootEntry!)) {
      const node =
        at === "" ? tree : at.split("/").reduce((parent, name) => parent.child(name), tree);
      const expected =
        entry.type === "d"
          ? metadataCompressorOf(node.policy)
          : (compressorOf(node.policy, entry.name, entry.sizeBytes) ?? null);
      const id = expected ? compressors[expected].headerId : 0;
      expect(used.get(entry.objectId), at).toBe(id);
      seen.add(String(expected));
    }
    expect([...seen].sort()).toEqual(["null", "pgzip", "s2-default", "zstd-fastest"]);
  });
});

/** Without what kopia refuses to read: a number that is not one of three. */
function readable(policy: Policy): Policy {
  const { enable } = policy.osSnapshots.volumeShadowCopy;
  const volumeShadowCopy = enable === undefined ? {} : { enable: Math.abs(enable) % 3 };
  return { ...policy, osSnapshots: { volumeShadowCopy } };
}
