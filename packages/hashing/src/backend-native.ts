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
}

interface NativeBlake3 extends NativeHasher {
  reset(): NativeHasher;
}

interface NativeParameters {
  key(key: Uint8Array): void;
  hashLength(bytes: number): void;
}

interface NativeBlake2 {
  withParams(parameters: NativeParameters): NativeHasher;
}

interface NativePackage {
  readonly Blake3Hasher: { newKeyed(key: Uint8Array): NativeBlake3 };
  readonly Blake2BHasher: NativeBlake2;
  readonly Blake2BParam: new () => NativeParameters;
  readonly Blake2SHasher: NativeBlake2;
  readonly Blake2SParam: new () => NativeParameters;
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
    families: ["blake2b", "blake2s", "blake3"],
    prepare: (description: HashDescription, key: Uint8Array) => ({
      hash:
        description.family === "blake3" ? blake3(native, key) : blake2(native, description, key),
    }),
  };
}

function blake2(native: NativePackage, description: HashDescription, key: Uint8Array): KeyedHash {
  const { family, fullLength } = description;
  const parameters = family === "blake2b" ? new native.Blake2BParam() : new native.Blake2SParam();
  const hashers = family === "blake2b" ? native.Blake2BHasher : native.Blake2SHasher;
  parameters.hashLength(fullLength);
  if (key.length > 0) parameters.key(key);
  return (data) => Uint8Array.from(hashers.withParams(parameters).update(data).digestBuffer());
}

function blake3(native: NativePackage, key: Uint8Array): KeyedHash {
  const hasher = native.Blake3Hasher.newKeyed(key);
  return (data) => {
    const digest = Uint8Array.from(hasher.update(data).digestBuffer());
    hasher.reset();
    return digest;
  };
}
