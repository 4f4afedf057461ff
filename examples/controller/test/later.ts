/**
 * A month later: the cluster's server is stopped, and its controllers run here, as its service account, by a clock that goes as fast
 * as the test wants. The S3 server's clock goes with it.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { runMaintenance } from "@dm/controller";
import { createManager, nodeKubeClient } from "@dm/controller/runtime";
import { silentLogger } from "@dm/core";
import { type VirtualClock, virtualClock } from "@dm/testbed";
import { Command } from "commander";
import type { SetUp } from "../src/demo/set-up.ts";
import { until } from "../src/demo/stage.ts";
import { addServerControllers } from "../src/roles/server-controllers.ts";
import { addServerFlags, type ServerOptions } from "../src/roles/server-flags.ts";

export class Later implements AsyncDisposable {
  readonly #scene: SetUp;
  readonly #clock: VirtualClock;
  #isOver = false;
  #ticking: Promise<void> = Promise.resolve();
  #stopServer: (() => Promise<void>) | undefined;

  private constructor(scene: SetUp, clock: VirtualClock) {
    this.#scene = scene;
    this.#clock = clock;
  }

  /** Stops the cluster's server, and lets `ms` pass. */
  static async open(scene: SetUp, ms: number): Promise<Later> {
    const { api } = scene.embedded.cluster;
    const { operatorNamespace } = scene.stage;
    api.modify("deployments.apps", operatorNamespace, "dm-server", ({ spec }) => {
      spec.replicas = 0;
    });
    await until("the server to stop", scene.stage, async () => {
      const pods = api.list("pods", operatorNamespace);
      return pods.some(({ metadata }) => metadata.name.startsWith("dm-server")) ? undefined : true;
    });
    const later = new Later(scene, virtualClock(Date.now()));
    await later.pass(ms);
    // Whoever sleeps wakes; ten times as fast as usual, so that answers of stores are not too late.
    later.#ticking = later.#tick();
    return later;
  }

  async #tick(): Promise<void> {
    while (!this.#isOver) {
      await this.pass(500);
      await sleep(50);
    }
  }

  async pass(ms: number): Promise<void> {
    await this.#clock.advance(ms);
    const { server } = this.#scene.store;
    if (server) server.clockOffsetMs = Number(this.#clock.nowNs() / 1_000_000n) - Date.now();
  }

  /** All controllers but that of repositories, whose Jobs have a clock of their own. */
  async startServer(...flags: string[]): Promise<void> {
    const { embedded, folder, stage } = this.#scene;
    const { operatorNamespace: namespace } = stage;
    const kubeconfig = join(folder, "server-kubeconfig");
    const serviceAccount = { namespace, name: "dm-server" };
    await embedded.cluster.server.kubeconfig(kubeconfig, { serviceAccount });
    const clock = this.#clock;
    // The API server's time is everybody's.
    const client = nodeKubeClient({ kubeconfig, userAgent: "dm-server-later" });
    const logger = silentLogger;
    const manager = createManager({ client, clock, logger });
    const context = { client, namespace, logger, clock, environment: {}, image: stage.pod.image };
    const command = addServerFlags(new Command());
    command.parse(["--disable-controllers=backup-repo", ...flags], { from: "user" });
    addServerControllers(manager, context, command.opts<ServerOptions>());
    const stop = new AbortController();
    const running = manager.run(stop.signal);
    this.#stopServer = async () => {
      this.#stopServer = undefined;
      stop.abort();
      await running;
      client.close();
    };
  }

  async stopServer(): Promise<void> {
    await this.#stopServer?.();
  }

  /** Another day, without a server whose waits would all have to pass, and the maintenance of a namespace's repository. */
  async maintain(volumeNamespace: string): Promise<void> {
    await this.stopServer();
    await this.pass(24 * 3_600_000);
    const { client, location, operatorNamespace } = this.#scene.stage;
    const settings = {
      namespace: operatorNamespace,
      volumeNamespace,
      backupStorageLocation: location,
    };
    const end = await runMaintenance(settings, { client, clock: this.#clock, environment: {} });
    if (end.exitCode !== 0) throw new Error(end.message);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopServer();
    this.#isOver = true;
    await this.#ticking;
  }
}
