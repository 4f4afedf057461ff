/** How snapshots and their sources are named in what the program prints, and read from arguments. */
import type { Snapshot } from "@dm/snapshot";

/** A source as Kopia writes it: `user@host:/path`. */
export const sourceText = ({ source }: Pick<Snapshot, "source">): string =>
  `${source.userName}@${source.host}:${source.path}`;
