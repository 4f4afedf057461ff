/**
 * The inspecting commands on golden repositories, text and JSON, against what kopia recorded about them. Kopia's own
 * output on the same repository is compared byte for byte in interop.kopia.test.ts.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Home } from "./run.ts";

// Epochs with deletions and error correction; the index log of version 1 with compactions.
describe.each(["v3-ecc", "v3-deleted-contents", "v1-maintenance"])("on %s", (name) => {
  const home = new Home();
  // biome-ignore lint/suspicious/noExplicitAny: recorded JSON
  let expected: any;
  beforeAll(async () => {
    expected = (await home.golden(name)).expected;
  });
  afterAll(() => home[Symbol.dispose]());

  const lines = async (line: string): Promise<string[]> => {
    const { out } = await home.ok(line);
    return out.split("\n").filter((text) => text !== "");
  };

  it("shows the status that kopia recorded", async () => {
    const status = await home.json<Record<string, unknown>>("repository status --json");
    const { contentFormat, objectFormat, blobRetention, uniqueIDHex } = expected.repositoryStatus;
    expect(status).toMatchObject({ contentFormat, objectFormat, blobRetention, uniqueIDHex });
    expect(status["configFile"]).toBe(home.configPath);
    const text = await lines("repository status");
    expect(text).toContain(`Unique ID:           ${uniqueIDHex}`);
    expect(text).toContain(`Hash:                ${contentFormat.hash}`);
    expect(text).toContain(`Splitter:            ${objectFormat.splitter}`);
  });

  it("lists blobs", async () => {
    const listed = await home.json<{ id: string; length: number }[]>("blob list --json");
    // biome-ignore lint/suspicious/noExplicitAny: recorded JSON
    const recorded = expected.blobs.map(({ id, length }: any) => [id, length]).sort();
    expect(listed.map(({ id, length }) => [id, length]).sort()).toEqual(recorded);
    expect((await lines("blob list")).length).toBe(recorded.length);
    const packs = await home.json<{ id: string }[]>(
      "blob list --json --data-only --exclude-prefix l --exclude-prefix m",
    );
    expect(packs.every(({ id }) => /^[pqs]/.test(id))).toBe(true);
    const large = await home.json<{ length: number }[]>("blob list --json --min-size 5KB");
    expect(large.every(({ length }) => length >= 5120)).toBe(true);
    const stats = await lines("blob stats --raw");
    expect(stats[0]).toBe(`Count: ${recorded.length}`);
    const total = listed.reduce((sum, { length }) => sum + length, 0);
    expect(stats[1]).toBe(`Total: ${total}`);
  });

  it("lists contents", async () => {
    interface Listed {
      readonly contentID: string;
      readonly deleted: boolean;
      readonly length: number;
      readonly originalLength: number;
      readonly packFile: string;
      readonly packOffset: number;
    }
    const all = await home.json<Listed[]>("content list --json --deleted");
    const recorded = new Map<string, Listed>(
      // biome-ignore lint/suspicious/noExplicitAny: recorded JSON
      expected.contents.map((content: any) => [content.id ?? content.contentID, content]),
    );
    expect(all.map(({ contentID }) => contentID).sort()).toEqual([...recorded.keys()].sort());
    for (const content of all) {
      expect(content.deleted).toBe(recorded.get(content.contentID)?.deleted ?? false);
    }
    const live = all.filter(({ deleted }) => !deleted).map(({ contentID }) => contentID);
    expect(await lines("content list")).toEqual(live);
    const gone = all.filter(({ deleted }) => deleted).map(({ contentID }) => contentID);
    expect(await lines("content list --deleted-only")).toEqual(gone);
    expect(await lines("content list -lc")).toEqual(await lines("content list -c"));
    const manifests = live.filter((id) => id.startsWith("m"));
    expect(await lines("content list --prefix m")).toEqual(manifests);
    expect((await lines("content list --non-prefixed")).every((id) => /^[0-9a-f]/.test(id))).toBe(
      true,
    );
    const [first] = all;
    const long = (await lines("content list -l --deleted -s"))[0];
    expect(long).toContain(`${first?.contentID} ${first?.originalLength} `);
    expect(long).toContain(` ${first?.packFile} ${first?.packOffset}+${first?.length}`);
    expect((await lines("content stats"))[0]).toBe(`Count: ${live.length}`);
  });

  it("shows contents, manifests and objects", async () => {
    const [id] = await lines("content list --prefix m");
    const { out } = await home.ok(["content", "show", "-z", "-j", id!]);
    expect(JSON.parse(out).entries.length).toBeGreaterThan(0);
    const directory = (await lines("content list --prefix k"))[0]!;
    const shown = await home.ok(["show", directory]);
    expect(JSON.parse(shown.out).stream).toBe("kopia:directory");
    expect((await home.ok(["content", "show", directory])).bytes).toEqual(shown.bytes);

    const manifests =
      await home.json<{ id: string; labels: Record<string, string> }[]>("manifest list --json");
    const recorded = expected.manifests.map(({ id }: { id: string }) => id).sort();
    expect(manifests.map((item) => item.id).sort()).toEqual(recorded);
    const [manifest] = manifests;
    const text = (await home.ok(["manifest", "show", manifest!.id])).out;
    expect(text).toMatch(new RegExp(`^// id: ${manifest?.id}\n// length: \\d+\n// modified: `));
    expect(text).toContain(`// label type:${manifest?.labels["type"]}\n{\n`);
    const policies = await lines("manifest list --filter type:policy");
    expect(policies.length).toBeGreaterThan(0);
    expect(policies.every((line) => line.includes(" type:policy "))).toBe(true);
  });

  it("lists and inspects index blobs", async () => {
    const active = await home.json<{ id: string }[]>("index list --json");
    // biome-ignore lint/suspicious/noExplicitAny: recorded JSON
    const recorded = expected.activeIndexBlobs.map((blob: any) => blob.id ?? blob).sort();
    expect(active.map(({ id }) => id).sort()).toEqual(recorded);
    const sorted = (await lines("index list --superseded --sort name")).map(
      (line) => line.split(" ")[0],
    );
    expect(sorted).toEqual([...sorted].sort());
    expect((await lines("index list --summary")).at(-1)).toBe(`total ${recorded.length} indexes`);
    const entries = await lines("index inspect --active");
    const first = entries[0]?.split(" ")[4] ?? "";
    const wanted = await lines(`index inspect --content-id ${first} --active`);
    expect(wanted.length).toBeGreaterThan(0);
    expect(wanted.every((line) => line.includes(` ${first} `))).toBe(true);
    expect(await lines(`index inspect ${recorded[0]}`)).toEqual(
      entries.filter((line) => line.includes(` ${recorded[0]} `)),
    );
  });

  it("verifies, and finds the index in the packs", async () => {
    const verified = await home.ok("content verify --full --json");
    expect(JSON.parse(verified.out)).toMatchObject({ totalErrorCount: 0, findings: [] });
    expect(verified.err).toContain("Finished verifying contents");
    const recovered = await home.ok("index recover");
    expect(recovered.err).toMatch(/Found \d+ contents in \d+ packs\.\nNothing was stored/);
  });

  it("shows what maintenance did", async () => {
    const info = await home.json<{ owner: string; schedule: { runs: object } }>(
      "maintenance info --json",
    );
    const text = await lines("maintenance info");
    expect(text[0]).toBe(`Owner: ${info.owner}`);
    for (const task of Object.keys(info.schedule.runs)) expect(text).toContain(`  ${task}:`);
  });
});

it("decrypts blobs that are encrypted as a whole, and refuses packs", async () => {
  using home = new Home();
  await home.golden("v1-maintenance");
  const [log] = await home.json<{ id: string }[]>("blob list --prefix m --json");
  const shown = await home.ok(["blob", "show", "--decrypt", log!.id]);
  expect(Object.keys(JSON.parse(shown.out))).toContain("inputMetadata");
  const stored = await home.ok(["blob", "show", log!.id]);
  expect(stored.bytes).not.toEqual(shown.bytes);
  const [pack] = await home.json<{ id: string }[]>("blob list --prefix p --json");
  const refused = await home.run(["blob", "show", "--decrypt", pack!.id]);
  expect([refused.code, refused.err]).toEqual([2, expect.stringContaining("is a pack")]);
});
