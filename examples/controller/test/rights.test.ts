/**
 * No right too many: each rule of the manifests is taken away in turn, and somebody is refused. One rule, chosen by DM_SEED, in the
 * plain run; all of them with DM_FULL=1. That none is missing is held by demo.test.ts. What the server may do in all namespaces,
 * for Backups and Restores, is the matter of backup.test.ts.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KubeObject } from "@dm/crds";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Programs } from "../src/demo/embedded.ts";
import { runDemo } from "../src/demo/run-demo.ts";
import { createScreen } from "../src/demo/screen.ts";
import { readManifests } from "../src/manifests.ts";
import { layOutImage } from "./programs.ts";

interface Role extends KubeObject {
  rules: { apiGroups: string[]; resources: string[]; verbs: string[] }[];
}

const hasRules = (object: KubeObject): object is Role => "rules" in object;
const rules = readManifests("base")
  .filter(hasRules)
  .filter(({ kind, metadata }) => kind !== "ClusterRole" || metadata.name !== "dm-server")
  .flatMap(({ kind, metadata, rules }) =>
    rules.map(({ resources, verbs }, index) => ({
      title: `${kind} ${metadata.name}: ${verbs.join(", ")} ${resources.join(", ")}`,
      role: `${kind}/${metadata.name}`,
      index,
    })),
  );
const seed = Number(process.env["DM_SEED"] ?? Date.now() % 1_000_000);
const chosen = process.env["DM_FULL"] ? rules : [rules[seed % rules.length] ?? rules[0]];

let folder = "";
let programs: Programs;
beforeAll(() => {
  console.log(`DM_SEED=${seed}`);
  folder = mkdtempSync(join(tmpdir(), "dm-rights-"));
  mkdirSync(join(folder, "source"));
  writeFileSync(join(folder, "source/file"), "text");
  programs = layOutImage(folder);
  writeFileSync(join(folder, "image"), Buffer.alloc(1 << 20, "block "));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it.each(chosen)(
  "without it somebody is refused: $title",
  async (rule) => {
    const refused = new AbortController();
    const denials: string[] = [];
    await runDemo({
      settings: {
        sources: [join(folder, "source")],
        block: join(folder, "image"),
        keep: false,
        image: "dm",
        yes: false,
        algorithms: {},
      },
      screen: createScreen(() => {}, false),
      programs,
      defaultSources: [],
      signal: AbortSignal.any([refused.signal, AbortSignal.timeout(200_000)]),
      onCluster({ cluster }) {
        const looking = setInterval(() => {
          for (const { user, verb, resource } of cluster.server.denied)
            denials.push(`${user} ${verb} ${resource}`);
          if (denials.length === 0) return;
          clearInterval(looking);
          refused.abort(new Error("somebody was refused"));
        }, 100);
        looking.unref();
      },
      changeManifests: (objects) =>
        objects.map((object) =>
          hasRules(object) && `${object.kind}/${object.metadata.name}` === rule?.role
            ? { ...object, rules: object.rules.filter((_, index) => index !== rule.index) }
            : object,
        ),
    }).catch((error: unknown) => {
      if (!refused.signal.aborted) throw error;
    });
    expect(denials).not.toEqual([]);
  },
  240_000,
);
