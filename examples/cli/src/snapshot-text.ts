/** How snapshots and their sources are named in what the program prints, and read from arguments. */
import { resolve } from "node:path";
import type { Snapshot, SnapshotSource } from "@dm/snapshot";
import { UsageError } from "./io.ts";
import type { Session } from "./session.ts";

/** A source as Kopia writes it: `user@host:/path`, or `user@host`. */
export const sourceText = ({ source }: Pick<Snapshot, "source">): string =>
  `${source.userName}@${source.host}${source.path === "" ? "" : `:${source.path}`}`;

/**
 * A source as people write it: `user@host:path` and `user@host` as they stand, else a path of this machine, which is then
 * this connection's user's, or `client`'s. Without a path the source has an empty one.
 */
export async function parseSource(
  session: Session,
  text: string,
  client?: { readonly hostname: string; readonly username: string },
): Promise<SnapshotSource> {
  const at = text.indexOf("@");
  const colon = text.indexOf(":");
  if (at > 0 && colon > at) {
    const [userName, host] = [text.slice(0, at), text.slice(at + 1, colon)];
    return { userName, host, path: text.slice(colon + 1) };
  }
  if (at >= 0 && colon < 0) {
    if (at + 1 === text.length) throw new UsageError(`no host in ${text}`);
    return { userName: text.slice(0, at), host: text.slice(at + 1), path: "" };
  }
  if (at === 0 && colon > 0)
    throw new UsageError(`no user in ${text} (a path that begins with @ is written ./${text})`);
  const { hostname, username } = client ?? (await session.config());
  return { userName: username, host: hostname, path: resolve(text) };
}

/** {@link parseSource} for a choice of snapshots: without a path all of the user's. */
export async function parseSourceFilter(
  session: Session,
  text: string,
): Promise<Partial<SnapshotSource>> {
  const { path, ...rest } = await parseSource(session, text);
  return path === "" ? rest : { ...rest, path };
}

/** Tags as people write them, `<key>:<value>`, under the keys at which Kopia's command line stores them. */
export function parseTags(texts: readonly string[] = []): Record<string, string> {
  const tags: Record<string, string> = {};
  for (const text of texts) {
    const colon = text.indexOf(":");
    if (colon < 0) throw new UsageError(`not a tag: ${text} (must be <key>:<value>)`);
    const key = `tag:${text.slice(0, colon)}`;
    if (key in tags) throw new UsageError(`a tag is given twice: ${text.slice(0, colon)}`);
    tags[key] = text.slice(colon + 1);
  }
  return tags;
}
