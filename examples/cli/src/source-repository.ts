/**
 * Another repository than the connected one, opened for reading by its own configuration file.
 * @module
 */
import type { Repository } from "@dm/repo";
import { UsageError } from "./io.ts";
import type { Session } from "./session.ts";

export interface SourceRepository {
  /** The caller closes it. */
  readonly repository: Repository;
  /** Whose connection it is: what a source without user and host means. */
  readonly client: { readonly hostname: string; readonly username: string };
}

/** With the password that is stored beside the file; without one, that of the connected repository. */
export async function openSourceRepository(
  session: Session,
  configPath: string,
): Promise<SourceRepository> {
  const [{ openRepository }, client] = await Promise.all([
    import("@dm/repo"),
    import("@dm/repo/client"),
  ]);
  const { storage, throttlingLimits, ...config } = await client.readClientConfig(configPath);
  if (!storage)
    throw new UsageError(`${configPath} names a kopia server; only storage can be opened`);
  const stored = await client.readPasswordFile(configPath);
  if (stored !== undefined) session.messages.keepSecret(stored);
  const password = stored ?? (await session.password());
  const { clock, logger, signal } = session;
  const store = await session.openStorage(storage, { readOnly: true, limits: throttlingLimits });
  const hostname = config.hostname || client.defaultHostname();
  const username = config.username || client.defaultUsername();
  const { deriveKey } = session.io;
  const options = {
    password,
    readOnly: true,
    clock,
    logger,
    signal,
    deriveKey,
    hostname,
    username,
  };
  try {
    return { repository: await openRepository(store, options), client: { hostname, username } };
  } catch (error) {
    await store.close();
    throw error;
  }
}
