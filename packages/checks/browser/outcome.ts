/**
 * How a subject reports from the page to the test: a count of what was compared, and a sentence for each difference.
 * @module
 */

export interface Outcome {
  readonly compared: number;
  readonly failures: readonly string[];
}

/** Loads JSON or bytes from the test's server. */
export interface Source {
  json(path: string): Promise<Json>;
  bytes(path: string): Promise<Uint8Array>;
}

// biome-ignore lint/suspicious/noExplicitAny: recorded JSON, each subject knows its part
export type Json = any;

async function load(path: string): Promise<Response> {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response;
}

/**
 * The server that the page came from.
 * @public the bundle's entry is text in the test
 */
export const httpSource: Source = {
  json: async (path) => (await load(path)).json(),
  bytes: async (path) => new Uint8Array(await (await load(path)).arrayBuffer()),
};

export class Report {
  #compared = 0;
  readonly #failures: string[] = [];

  equal(actual: unknown, expected: unknown, what: string): void {
    this.#compared += 1;
    if (actual !== expected) this.#failures.push(`${what}: ${actual} instead of ${expected}`);
  }

  /** `body` must throw, at once or later. */
  async refuses(body: () => unknown, what: string): Promise<void> {
    this.#compared += 1;
    try {
      await body();
    } catch {
      return;
    }
    this.#failures.push(`${what}: accepted`);
  }

  /** `body` must not throw. */
  async accepts(body: () => unknown, what: string): Promise<void> {
    try {
      await body();
    } catch (error) {
      this.#failures.push(`${what}: ${error}`);
    }
  }

  get outcome(): Outcome {
    return { compared: this.#compared, failures: this.#failures.slice(0, 20) };
  }
}

export async function sha256Hex(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", Uint8Array.from(bytes));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
