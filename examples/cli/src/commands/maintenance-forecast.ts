/**
 * What `dm maintenance run --dry-run` prints: what is garbage, when its space comes back, and why not sooner.
 * @module
 */
import { shortPackShare } from "@dm/repo";
import type { Amount, SpaceForecast } from "@dm/snapshot";
import type { Session } from "../session.ts";
import { formatBytes, formatTimestamp } from "../text.ts";

export function forecastText(session: Session, space: SpaceForecast): string {
  const { collection: c, forecast, garbagePacks, inSharedPacks, inShortPacks, marked } = space;
  const size = (bytes: number): string => formatBytes(session.io, bytes);
  const contents = (count: number, bytes: number): string => `${count} contents (${size(bytes)})`;
  const packs = ({ bytes, count }: Amount): string => `${size(bytes)} in ${count} packs`;
  const when = (ns: bigint | undefined): string =>
    ns === undefined ? `not in the next ${forecast.runs.length} full runs` : formatTimestamp(ns);
  const [first] = forecast.runs;
  const unmarked = c.unreferencedContentCount - marked.count;
  const lines = [
    "Nothing is changed. By snapshots, complete or not, of now:",
    `  in use:      ${contents(c.inUseContentCount, c.inUseContentSize)}`,
    `  manifests:   ${contents(c.inUseSystemContentCount, c.inUseSystemContentSize)}`,
    `  too recent:  ${contents(c.unreferencedRecentContentCount, c.unreferencedRecentContentSize)}; ` +
      "nothing refers to them, but a snapshot that does may still be under way",
    `  to revive:   ${contents(c.recoveredContentCount, c.recoveredContentSize)}; marked as deleted and in use again`,
    `  garbage:     ${contents(c.unreferencedContentCount, c.unreferencedContentSize)}, ` +
      `of which ${marked.count} are marked as deleted already`,
  ];
  if (c.unreferencedContentCount === 0)
    return `${[...lines, "No space to come back."].join("\n")}\n`;
  lines.push("Coming full runs:");
  if (unmarked > 0)
    lines.push(`  ${when(first?.atNs)}  ${unmarked} contents are marked as deleted`);
  lines.push(
    `  ${when(forecast.droppedAtNs)}  they leave the index: two collections four hours apart must agree that they are ` +
      "garbage, the first of them an hour after they were marked",
  );
  if (garbagePacks.count > 0) {
    lines.push(
      `  ${when(forecast.packsDeletedAtNs)}  ${packs(garbagePacks)} come back: nothing else is in them, and packs go an ` +
        "hour after the last rewriting at the earliest",
    );
  }
  if (inShortPacks.count > 0) {
    lines.push(
      `  ${when(forecast.shortPacksDeletedAtNs)}  ${packs(inShortPacks)} come back: what else is in them must be put ` +
        "together in other packs first, and a run that rewrites deletes nothing",
    );
  }
  if (inSharedPacks.count > 0) {
    lines.push(
      `  not foreseen: ${packs(inSharedPacks)}; more than ${shortPackShare * 100} % of each is something else, and rewriting begins below that`,
    );
  }
  lines.push("--safety none does all of it at once; only while nobody else uses the repository.");
  return `${lines.join("\n")}\n`;
}
