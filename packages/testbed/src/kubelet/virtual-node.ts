/**
 * A machine of the cluster: a root directory, a container runtime and a kubelet, and what may befall them.
 * Proof: test/kubelet/node-failure.test.ts.
 * @module
 */
import { randomInt } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { NotFoundError } from "@dm/core";
import type { StoredObject } from "../kube-object.ts";
import { ContainerRuntime } from "./container-runtime.ts";
import { type ImageTable, NodeImages } from "./images.ts";
import { Kubelet, type KubeletOptions } from "./kubelet.ts";
import { podsDirectory } from "./pod-directory.ts";
import type { StartFault } from "./pod-worker.ts";
import type { Watchdog } from "./watchdog.ts";

export interface VirtualNodeOptions
  extends Omit<
    KubeletOptions,
    "nodeName" | "nodeRoot" | "images" | "runtime" | "startFaults" | "allocatePodIP"
  > {
  readonly name: string;
  /** The node's own root. */
  readonly root: string;
  readonly images: ImageTable;
  readonly watchdog: Watchdog;
}

const podsOfASubnet = 254;

export class VirtualNode {
  readonly name: string;
  readonly root: string;
  readonly images: NodeImages;
  readonly runtime: ContainerRuntime;
  readonly #options: VirtualNodeOptions;
  readonly #faults = new Set<StartFault>();
  #kubelet: Kubelet | undefined;
  #podCount = 0;
  #subnet = "";

  constructor(options: VirtualNodeOptions) {
    this.#options = options;
    this.name = options.name;
    this.root = options.root;
    this.images = new NodeImages(options.images);
    this.runtime = new ContainerRuntime({ clock: options.api.clock, watchdog: options.watchdog });
  }

  get kubelet(): Kubelet | undefined {
    return this.#kubelet;
  }

  /** What is `/var/lib/kubelet/pods` on a real node. */
  get podsDirectory(): string {
    return podsDirectory(this.root);
  }

  /** A path of the node as the host has it. */
  hostPath(path: string): string {
    return join(this.root, path);
  }

  async start(): Promise<void> {
    if (this.#kubelet !== undefined) return;
    await mkdir(this.root, { recursive: true });
    const kubelet = new Kubelet({
      ...this.#options,
      nodeName: this.name,
      nodeRoot: this.root,
      images: this.images,
      runtime: this.runtime,
      startFaults: this.#faults,
      allocatePodIP: () => this.#allocatePodIP(),
    });
    this.#kubelet = kubelet;
    await kubelet.start();
  }

  /** The kubelet stops and another takes its place. Containers do not notice. */
  async restartKubelet(): Promise<void> {
    await this.stopKubelet();
    await this.start();
  }

  async stopKubelet(): Promise<void> {
    await this.#kubelet?.stop();
    this.#kubelet = undefined;
  }

  /** The power goes: no heartbeat, no status, no processes. */
  async fail(): Promise<void> {
    await this.stopKubelet();
    await this.runtime.killAll();
  }

  /** The power is back. */
  async recover(): Promise<void> {
    await this.start();
  }

  /** Same as `fail`, for the end. */
  async close(): Promise<void> {
    await this.fail();
  }

  /**
   * Kills a container's processes, as a kernel that has no memory left does with reason `OOMKilled`.
   * @throws {NotFoundError} `DM_CONTAINER_NOT_RUNNING` when no such container runs on this node
   */
  killContainer(
    pod: StoredObject,
    options: {
      readonly container?: string | undefined;
      readonly signal?: NodeJS.Signals | undefined;
      readonly reason?: string | undefined;
    } = {},
  ): void {
    const { container, signal = "SIGKILL", reason } = options;
    const found = this.runtime
      .containers(pod.metadata.uid)
      .findLast(
        ({ spec, exit }) =>
          exit === undefined && (container === undefined || spec.name === container),
      );
    if (found === undefined || !this.runtime.signal(found.id, signal, reason)) {
      throw new NotFoundError(
        "DM_CONTAINER_NOT_RUNNING",
        `no container ${container ?? ""} of pod ${pod.metadata.name} runs on ${this.name}`,
        { pod: pod.metadata.name, node: this.name },
      );
    }
  }

  /** From now on containers start only where the fault says nothing. Returns the end of it. */
  addStartFault(fault: StartFault): () => void {
    this.#faults.add(fault);
    return () => {
      this.#faults.delete(fault);
      this.#kubelet?.wakeAll();
    };
  }

  /**
   * Drawn, as clusters of several processes share the addresses of the machine: two pods with one address could not listen on the
   * same port.
   */
  #allocatePodIP(): string {
    // All of 127/8 is the loopback on Linux; elsewhere pods share one address.
    if (process.platform !== "linux") return "127.0.0.1";
    if (this.#podCount % podsOfASubnet === 0)
      this.#subnet = `127.${10 + randomInt(240)}.${randomInt(256)}`;
    return `${this.#subnet}.${1 + (this.#podCount++ % podsOfASubnet)}`;
  }
}
