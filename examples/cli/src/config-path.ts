/**
 * Which configuration file a command uses: `--config-file`, `KOPIA_CONFIG_PATH`, or the user's default one, as kopia names it.
 * @module
 */
import { basename, dirname, join } from "node:path";
import { defaultConfigPath } from "@dm/repo/client";

export function configPathOf(
  given: string | undefined,
  { KOPIA_CONFIG_PATH: fromEnvironment, ...env }: Readonly<Record<string, string | undefined>>,
): string {
  const byDefault = defaultConfigPath({ env });
  const path = given ?? fromEnvironment;
  if (!path) return byDefault;
  // A bare name lies in the directory of the default file.
  return basename(path) === path ? join(dirname(byDefault), path) : path;
}
