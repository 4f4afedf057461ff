/**
 * Sets the stage, plays the story, says how to look for oneself, and leaves nothing behind.
 * Proof: test/demo.test.ts.
 * @module
 */
import { randomBytes } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { setUpExisting } from "./existing-cluster.ts";
import type { Screen } from "./screen.ts";
import { type Scene, type SetUp, type SetUpOptions, setUp } from "./set-up.ts";
import type { DemoSettings } from "./settings.ts";
import type { Stage } from "./stage.ts";
import { playStory } from "./story.ts";
import { printTable } from "./table.ts";

export interface DemoParts extends Omit<SetUpOptions, "algorithms" | "store"> {
  readonly settings: DemoSettings;
  /** Asks whether that cluster may be used; true for yes. */
  readonly confirm?: ((question: string) => Promise<boolean>) | undefined;
  /** For tests: how the demo's pods are started there. */
  readonly podCommand?: readonly string[] | undefined;
  /** Used when no source is given. */
  readonly defaultSources: readonly string[];
  readonly limitBytes?: number | undefined;
  /** For tests: what happens to a volume before it is looked at. */
  readonly tamper?: ((stage: Stage, claim: string) => Promise<void>) | undefined;
  /** For tests: a look at the cluster before it goes. */
  readonly inspect?: ((scene: Scene & Partial<SetUp>) => Promise<void>) | undefined;
}

const defaultLimitBytes = 200_000_000;
const defaultImageBytes = 48 << 20;

/** @returns whether everything came back. */
export async function runDemo(parts: DemoParts): Promise<boolean> {
  const { screen, settings, signal } = parts;
  const { algorithms, keep, store: place } = settings;
  const scene: Scene & Partial<SetUp> = settings.kubeconfig
    ? await setUpExisting(parts)
    : await setUp({ ...parts, algorithms, store: place });
  try {
    const { filler, folder, stage } = scene;
    const differences = await playStory(stage, screen, {
      filler,
      sources: settings.sources.length > 0 ? settings.sources : parts.defaultSources,
      limitBytes: parts.limitBytes ?? defaultLimitBytes,
      block: await blockImage(settings.block, folder),
      showTable: async (plural) => screen.say(await printTable(stage.client, plural)),
      tamper: async (claim) => parts.tamper?.(stage, claim),
    });
    await parts.inspect?.(scene);
    showCommands(screen, scene);
    screen.step(differences.length === 0 ? "Everything came back." : "NOT everything came back.");
    if (keep) {
      screen.say("All of it stays until this is interrupted (Ctrl-C).");
      await sleep(2 ** 31 - 1, undefined, { signal }).catch(() => {});
    }
    return differences.length === 0;
  } finally {
    await scene.close();
  }
}

/** The file for the block volume; made up of random bytes, zeros and holes when there is none. */
async function blockImage(
  file: string | undefined,
  folder: string,
): Promise<{ file: string; size: string }> {
  const path = file ?? join(folder, "image");
  const image = await open(path, file ? "r" : "w+");
  try {
    if (!file) {
      await image.truncate(defaultImageBytes);
      const piece = 8 << 20;
      for (const at of [0, 3 * piece]) await image.write(randomBytes(piece), 0, piece, at);
    }
    const { size } = await image.stat();
    // Volumes have whole MiB.
    return { file: path, size: `${Math.ceil(size / (1 << 20))}Mi` };
  } finally {
    await image.close();
  }
}

function showCommands(screen: Screen, { folder, kubectl, stage, store }: Scene): void {
  const flags = store.connectFlags(stage.namespace);
  screen.step("Look for yourself (with --keep, while it stays)");
  screen.say(`${kubectl} get datauploads,datadownloads -A`);
  screen.say(
    `export KOPIA_PASSWORD=$(${kubectl} -n ${stage.operatorNamespace} get secret velero-repo-credentials -o jsonpath='{.data.repository-password}' | base64 -d)`,
  );
  for (const variable of store.environment) screen.say(`export ${variable}`);
  // The connection that the user has elsewhere is not touched.
  screen.say(`export KOPIA_CONFIG_PATH=${join(folder, "kopia.config")}`);
  screen.say(`kopia repository connect ${flags} && kopia snapshot list --all`);
  // The user's own Node may be too old for it.
  const node = process.execPath.includes("node_modules") ? "node_modules/.bin/node" : "node";
  const dm = `${node} examples/cli/dist/dm.js`;
  screen.say(`${dm} repository connect ${flags} && ${dm} snapshot list --all`);
}
