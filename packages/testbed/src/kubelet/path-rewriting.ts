/**
 * Pods run in the host's own file system, so what they are told about paths inside their container is translated: every path at
 * or under a mount path becomes the one of the host, wherever it stands in a word of the command line or of the environment.
 * Proof: test/kubelet/path-rewriting.test.ts.
 * @module
 */
export interface PathMapping {
  /** Absolute, as in `mountPath`, `devicePath`, `terminationMessagePath`. */
  readonly containerPath: string;
  readonly hostPath: string;
}

/** A function that translates one text. The longest mount path wins; what was translated is not looked at again. */
export function pathRewriter(mappings: readonly PathMapping[]): (text: string) => string {
  const hosts = new Map<string, string>();
  for (const { containerPath, hostPath } of mappings) {
    const path = containerPath.replace(/\/+$/, "");
    if (path !== "") hosts.set(path, hostPath);
  }
  if (hosts.size === 0) return (text) => text;
  const paths = [...hosts.keys()].sort((a, b) => b.length - a.length);
  // A path begins where no other path is going on (`=`, `:`, a quote, a blank…; after `file://` it is one, after `http://` not),
  // and ends at a slash or where no file name goes on.
  const pattern = new RegExp(
    `(?<=^|[^\\w./\\-]|file:\\/\\/)(?:${paths.map(escapeRegExp).join("|")})(?=$|[^\\w.\\-]|\\.(?:$|\\s))`,
    "g",
  );
  return (text) => text.replace(pattern, (path) => hosts.get(path) as string);
}

/** The host's path of one path of the container. */
export function hostPathOf(path: string, mappings: readonly PathMapping[]): string | undefined {
  const rewritten = pathRewriter(mappings)(path);
  return rewritten === path ? undefined : rewritten;
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");
}
