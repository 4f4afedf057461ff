/** Types of node-lines.mjs, which is plain JavaScript because the bootstrap must run on Node 18. */
export const oldestNode: string;
export const otherNodes: readonly string[];
export function platformPackage(): string;
export function nodeVersion(binary: string): string | undefined;
export function pinnedNode(): string | undefined;
export function otherNode(
  version: string,
  options?: { readonly env?: NodeJS.ProcessEnv; readonly say?: (text: string) => void },
): string;
