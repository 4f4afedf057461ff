/**
 * The optional package `@napi-rs/blake-hash`: BLAKE2 and BLAKE3 with the CPU's vector instructions, prebuilt for each
 * platform, without an install script. Used when it is there; results do not depend on it.
 * @module
 */
import { nodeBuiltin } from "@dm/core";
import type { HashBackend, KeyedHash } from "./backend.ts";
import type { HashDescription } from "./registry.ts";

interface NativeHasher {
  update(data: Uint8Array): NativeHasher;
  digestBuffer(): Uint8Array;
  reset(): NativeHasher;
}

interface NativePackage {
  readonly Blake3Hasher: { newKeyed(key: Uint8Array): NativeHasher };
}

function loadPackage(): NativePackage | undefined {
  const module = nodeBuiltin<typeof import("node:module")>("node:module");
  if (!module?.createRequire) return undefined;
  try {
    return module.createRequire(import.meta.url)("@napi-rs/blake-hash") as NativePackage;
  } catch {
    // Not installed, or not built for this platform.
    return undefined;
  }
}

/** Undefined where the package cannot be loaded. */
export function nativeBackend(): HashBackend | undefined {
  const native = loadPackage();
  if (!native?.Blake3Hasher) return undefined;
  return {
    name: "native",
    families: ["blake3"],
    prepare: (_description: HashDescription, key: Uint8Array) => ({ hash: blake3(native, key) }),
  };
}

function blake3(native: NativePackage, key: Uint8Array): KeyedHash {
  const hasher = native.Blake3Hasher.newKeyed(key);
  return (data) => {
    const digest = Uint8Array.from(hasher.update(data).digestBuffer());
    hasher.reset();
    return digest;
  };
}
