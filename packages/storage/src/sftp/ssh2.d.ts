/** The part of `ssh2` that is used here: its own types would bring those of another version of Node. */
declare module "ssh2" {
  import type { Duplex } from "node:stream";

  interface Client {
    connect(config: {
      readonly host: string;
      readonly port: number;
      readonly username: string;
      readonly password?: string;
      readonly privateKey?: string;
      readonly tryKeyboard?: boolean;
      readonly readyTimeout?: number;
      readonly keepaliveInterval?: number;
      readonly keepaliveCountMax?: number;
      readonly hostVerifier?: (key: Uint8Array) => boolean;
      readonly algorithms?: { readonly serverHostKey?: readonly string[] };
    }): unknown;
    subsys(name: string, callback: (error: Error | undefined, channel: Duplex) => void): unknown;
    on(event: "ready" | "close" | "end", listener: () => void): this;
    on(event: "error", listener: (error: Error & { level?: string; code?: unknown }) => void): this;
    on(
      event: "keyboard-interactive",
      listener: (
        name: string,
        instructions: string,
        language: string,
        prompts: ReadonlyArray<{ readonly prompt: string; readonly echo: boolean }>,
        finish: (answers: readonly string[]) => void,
      ) => void,
    ): this;
    setNoDelay(noDelay: boolean): this;
    destroy(): this;
  }

  const ssh2: { readonly Client: new () => Client };
  // biome-ignore lint/style/noDefaultExport: what the package has
  export default ssh2;
}
