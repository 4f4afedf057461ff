/** Every known problem shows by its samples, its section is in the page, and no failure message of the sources is unknown. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { fits } from "../../src/why/known-problem.ts";
import { knownProblems } from "../../src/why/known-problems.ts";
import { failureTexts } from "./failure-texts.ts";
import { handled, harmlessCodes, idleRules } from "./handled.ts";
import { samples } from "./samples.ts";

const folder = join(import.meta.dirname, "../..");
const page = readFileSync(join(folder, "../../docs/guide/troubleshooting.md"), "utf8");
const byId = new Map(knownProblems.map((problem) => [problem.id, problem]));

/** What the table says first about a text: a general problem only when no other fits. */
function idsFor(text: string): string[] {
  const all = knownProblems.filter((problem) => fits(problem, { text }));
  const specific = all.filter(({ isGeneral }) => !isGeneral);
  return (specific.length > 0 ? specific : all).map(({ id }) => id);
}

describe("known problems", () => {
  it("have names of their own", () => {
    expect(byId.size).toBe(knownProblems.length);
    expect(Object.keys(samples).filter((id) => !byId.has(id))).toEqual([]);
  });

  it.each(knownProblems.map((problem) => [problem.id, problem] as const))(
    "%s shows by its texts, and its remedy is one",
    (id, problem) => {
      expect(problem.remedy.join("").length).toBeGreaterThan(10);
      const texts = samples[id] ?? [];
      // By its state alone, or with a sample.
      if (problem.texts !== undefined) expect(texts).not.toEqual([]);
      else expect(problem.shows).toBeDefined();
      for (const text of texts)
        expect([text, idsFor(text)]).toEqual([text, expect.arrayContaining([id])]);
    },
  );
});

describe("docs/guide/troubleshooting.md", () => {
  const sections = [...page.matchAll(/^### (\S+)$/gm)].map((match) => match[1] ?? "");

  it("has a section for each problem, and no other", () => {
    expect(sections.toSorted()).toEqual([...byId.keys()].sort());
  });

  it.each([...byId.values()].map((problem) => [problem.id, problem] as const))(
    "%s is there with its cause and remedies",
    (id, { cause, remedy, title }) => {
      const after = page.slice(page.indexOf(`### ${id}\n`) + 4);
      const end = after.search(/^##/m);
      const plain = (text: string): string =>
        text.replaceAll("`", "").replaceAll(/\s+/g, " ").toLowerCase();
      const section = plain(end < 0 ? after : after.slice(0, end));
      for (const text of [title, cause, ...remedy]) expect(section).toContain(plain(text));
      const sample = samples[id]?.[0];
      if (sample !== undefined) expect(section).toContain(plain(sample));
    },
  );
});

describe("failure messages of the sources", () => {
  const found = globSync("src/**/*.ts", { cwd: folder })
    .filter((file) => !file.startsWith("src/why/"))
    .flatMap((file) => {
      const texts = failureTexts(readFileSync(join(folder, file), "utf8"), file);
      return texts.map((text) => ({ file: file.slice("src/".length), text }));
    });

  it("are found", () => {
    expect(found.length).toBeGreaterThan(300);
    expect(found).toContainEqual({
      file: "backup/reconcile-backup.ts",
      text: "backup already exists in object storage",
    });
  });

  it("are known, or somebody has said why not", () => {
    const unknown = found.filter(
      ({ file, text }) => idsFor(text).length === 0 && handled(file, text) === undefined,
    );
    expect(unknown.map(({ file, text }) => `${file}: ${text}`)).toEqual([]);
    expect(idleRules(found)).toEqual([]);
  });

  it("are noticed when they are new", () => {
    const source = 'const text = fail("the frobnicator has no more wax");';
    const [text = ""] = failureTexts(source, "src/backup/new.ts");
    expect(text).toBe("the frobnicator has no more wax");
    expect([idsFor(text), handled("backup/new.ts", text)]).toEqual([[], undefined]);
  });

  it("have codes that are known", () => {
    const readme = readFileSync(join(folder, "README.md"), "utf8");
    const errors = readme.slice(readme.indexOf("\n## Errors"));
    const codes = new Set(
      [...errors.matchAll(/`(DM_[A-Z0-9_]+)`/g)].map((match) => match[1] ?? ""),
    );
    expect(codes.size).toBeGreaterThan(60);
    const known = new Set(knownProblems.flatMap(({ codes: own = [] }) => own));
    const unknown = [...codes].filter((code) => !known.has(code) && !(code in harmlessCodes));
    expect(unknown).toEqual([]);
    expect(Object.keys(harmlessCodes).filter((code) => !codes.has(code))).toEqual([]);
  });
});
