// A client that lists and watches holds at the end what the server holds, whatever happens between: cut and doubled lines,
// compaction, refused connections, errors, restarts from the directory. DM_SEED repeats a run, DM_FULL=1 makes more of them.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { splitmix64 } from "@dm/fixtures";
import { expect, it } from "vitest";
import { type ApiServer, createApiServer, type Json } from "../../src/index.ts";
import { httpClient } from "./http-client.ts";

const firstSeed = Number(process.env["DM_SEED"] ?? 1);
const runs = process.env["DM_FULL"] ? 40 : 3;
const steps = 300;
const stepsBetweenChecks = 15;
const maps = "/api/v1/namespaces/default/configmaps";

/** The simplest client that can be right: lists, watches on, and lists again when it is told to. */
class Mirror {
  readonly objects = new Map<string, Json>();
  relists = 0;
  #version = "";
  readonly #server: () => ApiServer;
  readonly #selector: string;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(server: () => ApiServer, selector: string) {
    this.#server = server;
    this.#selector = selector;
    this.#done = this.#run();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        if (this.#version === "") await this.#list();
        await this.#watch();
      } catch {
        // Cut off, or not there: once more.
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }
  }

  async #list(): Promise<void> {
    this.relists++;
    const found = new Map<string, Json>();
    let page = "";
    let version = "";
    do {
      const query = `limit=7&labelSelector=${this.#selector}&continue=${page}`;
      const { status, body } = await httpClient(this.#server())("GET", `${maps}?${query}`);
      if (status !== 200) throw new Error(String(status));
      for (const item of body.items) found.set(item.metadata.name, item);
      version = body.metadata.resourceVersion;
      page = body.metadata.continue ?? "";
    } while (page !== "");
    this.objects.clear();
    for (const [name, item] of found) this.objects.set(name, item);
    this.#version = version;
  }

  async #watch(): Promise<void> {
    const query = `watch=true&labelSelector=${this.#selector}&resourceVersion=${this.#version}`;
    const client = httpClient(this.#server());
    for await (const { type, object } of client.watch(`${maps}?${query}`, this.#stop.signal)) {
      if (type === "ERROR" || object === undefined) {
        this.#version = "";
        return;
      }
      const { name, resourceVersion } = object.metadata;
      if (type === "DELETED") this.objects.delete(name);
      else this.objects.set(name, object);
      this.#version = resourceVersion;
    }
  }
}

it.each(Array.from({ length: runs }, (_, run) => firstSeed + run))(
  "holds what the server holds (DM_SEED=%d)",
  async (seed) => {
    const random = splitmix64(seed, steps * 4);
    const directory = await mkdtemp(join(tmpdir(), "dm-api-server-"));
    const open = (port?: number): Promise<ApiServer> =>
      createApiServer({ directory, tls: false, faultSeed: seed, ...(port ? { port } : {}) });
    let server = await open();
    const mirrors = [new Mirror(() => server, ""), new Mirror(() => server, "team%3Dred")];
    const expected = new Map<string, number>();
    const check = async (): Promise<void> => {
      server.setReachable(true);
      server.faults.errors = [];
      const held = server.cluster.list("configmaps", "default");
      expect(new Map(held.map((one) => [one.metadata.name, Number(one["data"].value)]))).toEqual(
        expected,
      );
      const wanted = [held, held.filter(({ metadata }) => metadata.labels?.["team"] === "red")];
      for (const [index, mirror] of mirrors.entries()) {
        const names = wanted[index]?.map((one) => [one.metadata.name, one] as const);
        await expect
          .poll(() => mirror.objects, { timeout: 10_000, interval: 5 })
          .toEqual(new Map(names));
      }
    };
    try {
      for (let step = 0; step < steps; step++) {
        const [kind = 0, which = 0, value = 0, pause = 0] = random.subarray(step * 4, step * 4 + 4);
        const name = `m${which % 30}`;
        const labels = { team: value % 2 === 0 ? "red" : "blue" };
        if (kind < 200) {
          if (!expected.has(name)) {
            server.cluster.create("configmaps", {
              apiVersion: "v1",
              kind: "ConfigMap",
              metadata: { name, namespace: "default", labels },
              data: { value: String(value) },
            });
          } else {
            server.cluster.modify("configmaps", "default", name, (object) => {
              object.metadata.labels = labels;
              object["data"] = { value: String(value) };
            });
          }
          expected.set(name, value);
        } else if (kind < 230) {
          expect(server.cluster.delete("configmaps", "default", name)).toBe(expected.delete(name));
        } else if (kind < 236) {
          server.faults.dropMidLine = value % 2 === 0;
          server.dropWatches();
        } else if (kind < 240) server.faults.duplicateEvents = value % 2 === 0;
        else if (kind < 244) server.compact();
        else if (kind < 248) server.setReachable(value % 2 === 0);
        else if (kind < 252) server.faults.errors = [{ status: 503, rate: (value % 4) / 4 }];
        else {
          const { port } = new URL(server.url);
          await server.close();
          server = await open(Number(port));
        }
        if (pause < 60) await new Promise((resolve) => setTimeout(resolve, pause % 4));
        // Before a later list puts right what a watch has missed.
        if (step % stepsBetweenChecks === stepsBetweenChecks - 1) await check();
      }
    } finally {
      for (const mirror of mirrors) await mirror.close();
      await server.close();
      await rm(directory, { recursive: true });
    }
  },
);
