/** `repository doctor`: what it prints, what it writes and when, and how it ends. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { Home, type Outcome } from "./run.ts";

const repository = "v1-index-v2";
const password = (home: Home): string => home.env["KOPIA_PASSWORD"]!;

function blobFiles(home: Home, pattern: RegExp): string[] {
  const folder = home.path(repository);
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".f") && pattern.test(name.replaceAll("/", "")))
    .map((name) => join(folder, name))
    .sort();
}

const everything = (home: Home): Map<string, string> =>
  new Map(blobFiles(home, /./).map((path) => [path, readFileSync(path, "base64")]));

const doctor = (home: Home, ...flags: string[]): Promise<Outcome> =>
  home.run(["repository", "doctor", ...flags]);

it("says of a healthy repository that it is", async () => {
  using home = new Home();
  await home.golden(repository);
  for (const flags of [[], ["--quick"], ["--repair"]]) {
    const before = everything(home);
    expect(await doctor(home, ...flags)).toMatchObject({
      code: 0,
      out: "",
      err: "The repository is healthy.\n",
    });
    expect(everything(home)).toEqual(before);
  }
});

it("shows a plan, and carries it out when it is told to", async () => {
  using home = new Home();
  await home.golden(repository);
  const [index] = blobFiles(home, /^n[0-9a-f]{2}/);
  writeFileSync(index!, "no index");
  writeFileSync(join(home.path(repository), "kopia.repository.f"), "no format");
  const before = everything(home);
  const planned = await doctor(home);
  expect(planned).toMatchObject({
    code: 1,
    err: "error: damage was found, and nothing was written; --repair carries the plan out\n",
  });
  expect(planned.out).toContain(
    "Can be repaired:\n  blob kopia.repository is not a repository format",
  );
  expect(planned.out).toMatch(/Plan:\n {2}1\. write kopia\.repository as pack [pq]/);
  expect(planned.out).toMatch(/^ {5}put dm\.damaged\.n[0-9a-f]{32}-\S+ \(8 B\)\n {5}delete n/m);
  expect(everything(home)).toEqual(before);

  const repaired = await doctor(home, "--repair");
  expect(repaired.code).toBe(0);
  expect(repaired.out.replaceAll(/-s[0-9a-f]+/g, "")).toBe(
    planned.out.replaceAll(/-s[0-9a-f]+/g, ""),
  );
  expect(repaired.err.match(/^Done: /gm)?.length).toBe(planned.out.match(/^ {2}\d+\. /gm)?.length);
  expect(repaired.err).toContain("The repository is repaired.\n");
  expect((await doctor(home)).code).toBe(0);
  await home.ok(["snapshot", "verify", "--verify-files-percent=100"]);
});

it("lists files that are lost, and ends with 3 when there is nothing more to repair", async () => {
  using home = new Home();
  await home.golden(repository);
  for (const path of blobFiles(home, /^p/).slice(0, 1)) rmSync(path);
  const planned = await doctor(home);
  expect(planned).toMatchObject({ code: 1 });
  expect(planned.out).toMatch(/^Is lost:\n {2}pack p\S+ with \d+ contents is gone\n/);
  expect(planned.out).toMatch(/^ {2}snapshot \S+ of \S+: "text\.txt" is lost: /m);
  expect(planned.err).toContain("damage was found that nothing can repair");
  const repaired = await doctor(home, "--repair");
  expect(repaired).toMatchObject({ code: 3, out: planned.out });
  expect(repaired.err).toContain("dm snapshot fix invalid-files");
});

it("says that the password is wrong where packs prove that the format blob is whole", async () => {
  using home = new Home();
  await home.golden(repository);
  home.env["KOPIA_PASSWORD"] = `${password(home)}?`;
  const { code, err, out } = await doctor(home, "--repair");
  expect(code).toBe(1);
  expect(out).toContain("it is whole: check the password");
  expect(err).toContain("cannot be opened");
  expect(out + err).not.toContain(password(home));
});

it("works where nobody can connect, with a configuration that only says where the repository is", async () => {
  using home = new Home();
  await home.golden(repository);
  await home.ok("repository disconnect");
  rmSync(join(home.path(repository), "kopia.repository.f"));
  const connect = ["repository", "connect", "filesystem", "--path", home.path(repository)];
  expect((await home.run(connect)).code).toBe(1);
  const page = readFileSync(join(import.meta.dirname, "../../../docs/recovery.md"), "utf8");
  const config = /^```json\n(.*)\n```$/m.exec(page)![1]!;
  writeFileSync(home.path("here.config"), config.replace("/backup", home.path(repository)));
  const flag = `--config-file=${home.path("here.config")}`;
  expect(await home.run([flag, "repository", "doctor", "--repair"])).toMatchObject({ code: 0 });
  await home.ok(connect);
});

it("prints the same as JSON", async () => {
  using home = new Home();
  await home.golden(repository);
  for (const path of blobFiles(home, /^n[0-9a-f]{2}/)) rmSync(path);
  const { code, out } = await doctor(home, "--json");
  expect(code).toBe(1);
  const { damagedSnapshots, findings, ok, opens, plan } = JSON.parse(out);
  expect({ damagedSnapshots, ok, opens }).toEqual({ damagedSnapshots: [], ok: false, opens: true });
  expect(findings).toEqual([expect.objectContaining({ part: "index", severity: "repairable" })]);
  expect(plan).toEqual([
    {
      do: "rebuildIndex",
      text: expect.any(String),
      writes: [{ do: "put", blobId: expect.stringMatching(/^n/), length: expect.any(Number) }],
    },
  ]);
});
