/** `dm manifest list|show|rm`. */
import { formatTime, type ManifestEntry } from "@dm/repo";
import type { Command } from "commander";
import { UsageError } from "../io.ts";
import { repeatable } from "../options.ts";
import type { Session } from "../session.ts";
import { formatTimestamp, indented, JsonList } from "../text.ts";

const lengthOf = (manifest: ManifestEntry): number =>
  new TextEncoder().encode(manifest.data).length;

/** `type` first, then the others in order. */
function labelText(manifest: ManifestEntry): string {
  const { type, ...rest } = manifest.labels;
  const others = Object.keys(rest)
    .sort()
    .map((key) => `${key}:${rest[key]}`);
  return `type:${type} ${others.join(" ")}`;
}

export function manifestCommands(parent: Command, session: Session): void {
  const manifest = parent.command("manifest").description("Commands to inspect manifests");

  manifest
    .command("list")
    .alias("ls")
    .description("List manifests")
    .addOption(repeatable("--filter <key:value>", "label that a manifest must have"))
    .addOption(repeatable("--sort <key>", "label to sort by"))
    .option("--json", "output as JSON")
    .action(
      async (options: { filter?: readonly string[]; sort?: readonly string[]; json?: boolean }) => {
        const repository = await session.repository();
        const labels = Object.fromEntries((options.filter ?? []).map(labelPair));
        const found = await repository.findManifests(labels, { signal: session.signal });
        const sort = options.sort ?? [];
        if (sort.length > 0) found.sort((a, b) => compareLabels(a, b, sort));
        const json = options.json ? new JsonList(session.io) : undefined;
        for (const item of found) {
          const length = lengthOf(item);
          const mtime = formatTime(item.modifiedAtNs);
          if (json) await json.add({ id: item.id, length, labels: item.labels, mtime });
          else {
            const time = formatTimestamp(item.modifiedAtNs);
            await session.io.out(
              `${item.id} ${String(length).padStart(10)} ${time} ${labelText(item)}\n`,
            );
          }
        }
        await json?.end();
      },
    );

  manifest
    .command("show")
    .alias("cat")
    .description("Show manifests")
    .argument("<item...>", "manifest ids")
    .action(async (ids: readonly string[]) => {
      const repository = await session.repository();
      for (const id of ids) {
        const item = await repository.readManifest(id, { signal: session.signal });
        const head = [
          `// id: ${item.id}`,
          `// length: ${lengthOf(item)}`,
          `// modified: ${formatTimestamp(item.modifiedAtNs)}`,
        ];
        for (const key of Object.keys(item.labels).sort())
          head.push(`// label ${key}:${item.labels[key]}`);
        await session.io.out(`${head.join("\n")}\n${indented(item.data)}`);
      }
    });

  manifest
    .command("rm")
    .aliases(["delete", "remove"])
    .description("Remove manifests")
    .argument("<item...>", "manifest ids")
    .action(async (ids: readonly string[]) => {
      const repository = await session.repository();
      const { signal } = session;
      for (const id of ids) await repository.readManifest(id, { signal });
      await using write = await repository.openWriteSession({ signal });
      for (const id of ids) await write.deleteManifest(id, { signal });
      await write.commit({ signal });
      session.say(`Removed ${ids.length} manifests.`);
    });
}

function labelPair(text: string): [string, string] {
  const colon = text.indexOf(":");
  if (colon < 0) throw new UsageError(`--filter takes key:value, not ${text}`);
  return [text.slice(0, colon), text.slice(colon + 1)];
}

function compareLabels(a: ManifestEntry, b: ManifestEntry, keys: readonly string[]): number {
  for (const key of keys) {
    const x = a.labels[key] ?? "";
    const y = b.labels[key] ?? "";
    if (x !== y) return x < y ? -1 : 1;
  }
  return 0;
}
