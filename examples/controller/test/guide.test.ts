/**
 * The guide is what its tests can follow: every block is of a kind that is carried out, checked, or says why it cannot be; its YAML is
 * valid; and with `dm` alone the disaster page brings the volumes back.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkObject, crdManifests, customKindOf, type KubeObject } from "@dm/crds";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { type GuideBucket, openGuideBucket } from "./guide-bucket.ts";
import { installDm } from "./guide-dm.ts";
import { comparable, guideBlocks, guidePages, missingLines } from "./guide-pages.ts";
import { follow } from "./guide-reader.ts";

const blocks = guidePages().flatMap((page) => guideBlocks(page));
const place = ({ line, page }: { line: number; page: string }): string => `${page}, line ${line}`;

describe("blocks of the guide", () => {
  it("are commands that a test carries out, files, or say why they are not carried out", () => {
    const fits = ({ language, words }: (typeof blocks)[number]): boolean => {
      if (language === "sh") return ["", "dm", "kopia"].includes(words);
      if (language === "console") return /^reason="[^"]{10,}"$/.test(words);
      return ["yaml", "ini"].includes(language);
    };
    expect(blocks.length).toBeGreaterThan(30);
    expect(blocks.filter((block) => !fits(block)).map(place)).toEqual([]);
  });

  it("of YAML are objects as their schemas want them, with no field that these do not know", () => {
    const yaml = blocks.filter(({ language }) => language === "yaml");
    const seen = yaml.flatMap((block) =>
      parseAllDocuments(block.text).map((document) => {
        expect(document.errors, place(block)).toEqual([]);
        const object = document.toJS() as KubeObject;
        const kind = customKindOf(object);
        if (kind) {
          checkObject(kind.resource, object);
          expect(unknownFields(object), place(block)).toEqual([]);
        }
        return object.kind;
      }),
    );
    expect(seen).toEqual(
      expect.arrayContaining(["Backup", "Restore", "Schedule", "DataProtectionApplication"]),
    );
  });
});

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

/** Paths in `spec` of what a cluster would drop. */
function unknownFields({ kind, ...object }: KubeObject): string[] {
  const [definition] = crdManifests({ kinds: [kind ?? ""] }) as unknown as {
    spec: { versions: { schema: { openAPIV3Schema: Schema } }[] };
  }[];
  const schema = definition?.spec.versions[0]?.schema.openAPIV3Schema.properties?.["spec"];
  const walk = (value: unknown, at: Schema | undefined, path: string): string[] => {
    if (Array.isArray(value)) return value.flatMap((one) => walk(one, at?.items, path));
    if (typeof value !== "object" || value === null || !at?.properties) return [];
    return Object.entries(value).flatMap(([name, inner]) => {
      const next = at.properties?.[name];
      return next ? walk(inner, next, `${path}.${name}`) : [`${path}.${name}`];
    });
  };
  return walk((object as unknown as { spec: unknown }).spec, schema, "spec");
}

describe("what a block prints", () => {
  it("is compared without what a run makes up", () => {
    expect(comparable("first-f6790bc00d   Completed   3m12s   node-1")).toBe(
      comparable("first-0123456789 Completed 4s node-2"),
    );
    expect(comparable("first-bad")).not.toBe(comparable("first-off"));
    expect(comparable("writer-house")).not.toBe(comparable("writer-mouse"));
  });

  it("may have more lines only where the page has dots", () => {
    expect(missingLines("a\nb\n", "a\nb\n")).toEqual([]);
    expect(missingLines("a\n…\nc\n", "a\nb\nc\n")).toEqual([]);
    expect(missingLines("a\nc\n", "a\nb\nc\n")).not.toEqual([]);
    expect(missingLines("…\nc\na\n", "a\nb\nc\n")).toEqual(["a"]);
    expect(missingLines("…\nd\n", "a\nb\nc\n")).toEqual(["d"]);
  });
});

describe("the guide with dm", () => {
  let folder = "";
  let bucket: GuideBucket;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "dm-guide-dm-"));
    bucket = await openGuideBucket(folder);
    installDm(join(folder, "bin"));
  });
  afterAll(async () => {
    await bucket?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  // The second connects nothing of its own.
  it.each(["disaster.md", "algorithms.md"])("%s", async (page) => {
    const { instead, project } = bucket;
    const done = await follow(page, {
      folder: project,
      environment: {
        PATH: `${join(folder, "bin")}:${process.env["PATH"]}`,
        HOME: folder,
        TZ: "UTC",
      },
      instead,
      runs: ({ words }) => words === "dm",
      signal: AbortSignal.timeout(55_000),
    });
    const wanted = guideBlocks(page).filter(
      ({ language, words }) => language === "sh" && words === "dm",
    );
    expect(wanted.length).toBeGreaterThan(0);
    expect(done.map(({ block }) => block.line)).toEqual(wanted.map(({ line }) => line));
  });

  it("no page with commands of dm is left out", () => {
    const pages = blocks.filter(({ words }) => words === "dm").map(({ page }) => page);
    expect([...new Set(pages)].sort()).toEqual(["algorithms.md", "disaster.md"]);
  });
});
