/**
 * A whole cluster in this process: API server, controllers, scheduler, nodes with their kubelets, and storage.
 * Proof: test/kubelet/cluster.kubectl.test.ts.
 * @module
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, type Logger, NotFoundError, systemClock } from "@dm/core";
import { ApiError } from "./api-server/api-error.ts";
import { type ApiServer, type ApiServerOptions, createApiServer } from "./api-server/api-server.ts";
import type { PodStreams, PodTarget } from "./api-server/pod-streams.ts";
import type { ClusterApi } from "./cluster-api.ts";
import { startControllers } from "./controllers/index.ts";
import { CsiDriver, type CsiDriverOptions } from "./csi/csi-driver.ts";
import { startStorage } from "./csi/storage.ts";
import type { ImageTable } from "./kubelet/images.ts";
import type { Kubelet } from "./kubelet/kubelet.ts";
import { defaultKubeletTimes, type KubeletTimes } from "./kubelet/times.ts";
import { VirtualNode } from "./kubelet/virtual-node.ts";
import type { VolumeWriters } from "./kubelet/volume-driver.ts";
import { startWatchdog } from "./kubelet/watchdog.ts";
import { startScheduler } from "./scheduler.ts";

export interface NodeDescription {
  readonly name: string;
  /** Beside `kubernetes.io/hostname`, `kubernetes.io/os` and `kubernetes.io/arch`. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** What pods may ask for, by name; the scheduler keeps to it, nothing limits processes. Default: more than enough. */
  readonly capacity?: Readonly<Record<string, string>> | undefined;
}

export interface ClusterOptions {
  /** How many, named `node-1` and so on, or each. Default 1. */
  readonly nodes?: number | readonly NodeDescription[] | undefined;
  /** What images stand for, on every node. */
  readonly images?: ImageTable | undefined;
  /**
   * For objects, the roots of nodes, volumes and the kubeconfig: a cluster that is started with it again goes on, with what ran
   * as after a power failure. Default: a temporary one, which goes at the end.
   */
  readonly directory?: string | undefined;
  /** Default: the system clock. */
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
  /** False for a cluster without storage; otherwise options of the driver. */
  readonly csi?: false | Omit<CsiDriverOptions, "clock"> | undefined;
  /** Waits of kubelets that are to be other than usual. */
  readonly times?: Partial<KubeletTimes> | undefined;
  /** Without a heartbeat for so long a node is lost. Default 40 s. */
  readonly nodeGraceMs?: number | undefined;
  /** Pods of a lost node are deleted after this at the latest. Default: what they tolerate, 5 minutes unless they say more. */
  readonly longestTolerationMs?: number | undefined;
  /** A volume that a lost node does not give back is taken from it after this. Default 6 minutes. */
  readonly longestUnmountMs?: number | undefined;
  /** Logs of deleted pods stay in the nodes' `var/log/pods`. Default: they go with the pod. */
  readonly keepPodLogs?: boolean | undefined;
  readonly server?: Pick<ApiServerOptions, "port" | "tls" | "faultSeed"> | undefined;
}

export interface Cluster extends AsyncDisposable {
  readonly api: ClusterApi;
  readonly server: ApiServer;
  /** Path of a kubeconfig file of the administrator. */
  readonly kubeconfig: string;
  readonly directory: string;
  readonly nodes: readonly VirtualNode[];
  readonly csi: CsiDriver | undefined;
  /** @throws {NotFoundError} `DM_NODE_NOT_FOUND` */
  node(name: string): VirtualNode;
  /** One more machine. */
  addNode(description: NodeDescription): Promise<VirtualNode>;
  /** The machine is taken away for good: its processes end and its Node object goes, and so do its pods. */
  removeNode(name: string): Promise<void>;
  /** Ends all processes, servers and mounts; resolves when they are gone. */
  close(): Promise<void>;
}

/**
 * @example
 * await using cluster = await startCluster({ nodes: 2, images: { busybox: [] } });
 * cluster.api.create("pods", { apiVersion: "v1", kind: "Pod", metadata: { name: "a", namespace: "default" },
 *   spec: { containers: [{ name: "main", image: "busybox", command: ["echo", "hello"] }] } });
 */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const closers = new Closers();
  try {
    return await start(options, closers);
  } catch (error) {
    // What failed is told; what cannot be closed then is not.
    await closers.close().catch(() => {});
    throw error;
  }
}

async function start(options: ClusterOptions, closers: Closers): Promise<Cluster> {
  const { clock = systemClock, logger } = options;
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), "dm-cluster-")));
  if (options.directory === undefined) {
    closers.add(() => rm(directory, { recursive: true, force: true, maxRetries: 3 }));
  }
  await mkdir(directory, { recursive: true });
  const watchdog = startWatchdog();
  closers.add(() => watchdog.close());
  const nodes: VirtualNode[] = [];
  const server = await createApiServer({
    ...options.server,
    clock,
    logger,
    podStreams: routeToNodes(nodes),
    directory: options.directory === undefined ? undefined : join(directory, "state"),
  });
  closers.add(() => server.close());
  const { cluster: api } = server;
  const kubeconfig = join(directory, "kubeconfig");
  await server.kubeconfig(kubeconfig);

  const csi =
    options.csi === false
      ? undefined
      : await CsiDriver.open({ directory: join(directory, "volumes"), ...options.csi, clock });
  closers.add(async () => csi?.close());
  csi?.useWriters(writersOf(nodes));
  closers.add(() => Promise.all(nodes.map((one) => one.close())));
  const { nodeGraceMs, longestTolerationMs, longestUnmountMs } = options;
  const storage =
    csi === undefined ? undefined : startStorage({ api, driver: csi, logger, longestUnmountMs });
  closers.add(async () => storage?.close());
  const controllers = startControllers({ api, logger, nodeGraceMs, longestTolerationMs });
  closers.add(() => controllers.close());
  const scheduler = startScheduler({ api, logger });
  closers.add(() => scheduler.close());

  const addNode = async (description: NodeDescription): Promise<VirtualNode> => {
    const { name, labels = {}, capacity } = description;
    const node = new VirtualNode({
      name,
      labels,
      capacity,
      root: join(directory, "nodes", name),
      api,
      images: options.images ?? {},
      volumes: csi,
      times: { ...defaultKubeletTimes, ...options.times },
      keepPodLogs: options.keepPodLogs ?? false,
      logger,
      watchdog,
    });
    nodes.push(node);
    await node.start();
    return node;
  };
  const node = (name: string): VirtualNode => {
    const found = nodes.find((one) => one.name === name);
    if (found === undefined) {
      throw new NotFoundError("DM_NODE_NOT_FOUND", `the cluster has no node ${name}`, { name });
    }
    return found;
  };
  for (const description of describeNodes(options.nodes ?? 1)) await addNode(description);

  const close = (): Promise<void> => closers.close();
  return {
    api,
    server,
    kubeconfig,
    directory,
    nodes,
    csi,
    node,
    addNode,
    async removeNode(name) {
      const gone = node(name);
      await gone.close();
      nodes.splice(nodes.indexOf(gone), 1);
      api.delete("nodes", "", name);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Closed in the opposite order, once, all of them: the first failure is thrown when the last is done. */
class Closers {
  readonly #closers: (() => Promise<unknown>)[] = [];
  #closing: Promise<void> | undefined;

  add(close: () => Promise<unknown>): void {
    this.#closers.push(close);
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async #closeAll(): Promise<void> {
    const failures: unknown[] = [];
    for (const close of this.#closers.toReversed()) {
      await close().catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }
}

function describeNodes(nodes: number | readonly NodeDescription[]): readonly NodeDescription[] {
  if (typeof nodes !== "number") return nodes;
  return Array.from({ length: nodes }, (_, index) => ({ name: `node-${index + 1}` }));
}

function writersOf(nodes: readonly VirtualNode[]): VolumeWriters {
  return {
    async freeze(volumeName) {
      const thaws = await Promise.all(nodes.map(({ runtime }) => runtime.freeze(volumeName)));
      return () => {
        for (const thaw of thaws) thaw();
      };
    },
  };
}

function routeToNodes(nodes: readonly VirtualNode[]): PodStreams {
  const kubeletOf = ({ nodeName }: PodTarget): Kubelet => {
    const kubelet = nodes.find(({ name }) => name === nodeName)?.kubelet;
    if (kubelet !== undefined) return kubelet;
    throw new ApiError(500, "InternalError", `the kubelet of node ${nodeName} does not answer`);
  };
  return {
    log: (target, options) => kubeletOf(target).log(target, options),
    exec: (target, options) => kubeletOf(target).exec(target, options),
  };
}
