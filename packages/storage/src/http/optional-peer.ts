/**
 * Packages that only some need: they are installed by whoever uses what needs them, and loaded then.
 * Proof: test/optional-peer.test.ts.
 * @module
 */
import { UnsupportedError } from "@dm/core";

/**
 * What `load` imports.
 * @throws {UnsupportedError} `DM_STORE_PACKAGE_MISSING` when it is not installed; the message says what to install
 */
export async function optionalPeer<Module>(
  name: string,
  load: () => Promise<Module>,
): Promise<Module> {
  try {
    return await load();
  } catch (error) {
    const missing = new Set(["ERR_MODULE_NOT_FOUND", "MODULE_NOT_FOUND"]);
    if (!missing.has(String((error as { code?: unknown }).code))) throw error;
    throw new UnsupportedError(
      "DM_STORE_PACKAGE_MISSING",
      `this needs the package ${name}, which is not installed: npm install ${name}`,
      { package: name },
      { cause: error },
    );
  }
}
