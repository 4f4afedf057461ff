/**
 * From a kernel's text in src/*.wasm.ts to an instance, when it is first wanted: importing compiles nothing.
 *
 * An instance has 128 KiB of memory, whatever the length of the inputs: they pass through it in pieces. Calls are
 * synchronous and leave nothing behind that the next one needs, so all hashes of a family share one instance.
 * @module
 */

/** What is used of the global `WebAssembly`, which TypeScript knows only together with the whole DOM. */
interface WebAssemblyGlobal {
  readonly Module: new (binary: Uint8Array) => object;
  readonly Instance: new (
    module: object,
  ) => { readonly exports: { readonly memory: { readonly buffer: ArrayBuffer } } };
}

/** A kernel's functions, with its whole memory as bytes. The memory never grows, so the view stays good. */
export type Kernel<Functions> = Functions & { readonly bytes: Uint8Array };

/**
 * A getter of the one instance. It throws where WebAssembly is missing, without vectors, or forbidden by the page's
 * content security policy.
 */
export function lazyKernel<Functions extends object>(base64: string): () => Kernel<Functions> {
  let kernel: Kernel<Functions> | undefined;
  return () => {
    if (!kernel) {
      const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyGlobal };
      const binary = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      const { exports } = new WebAssembly.Instance(new WebAssembly.Module(binary));
      const bytes = new Uint8Array(exports.memory.buffer);
      kernel = { ...(exports as unknown as Functions), bytes };
    }
    return kernel;
  };
}
