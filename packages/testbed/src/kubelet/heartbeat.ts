/**
 * What a node says of itself: its Node object, and a Lease that tells that it lives.
 * Proof: test/kubelet/node-failure.test.ts.
 * @module
 */
import { release } from "node:os";
import type { Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import { microTimestamp, nowMs, timestamp } from "../controllers/timestamp.ts";
import type { StoredObject } from "../kube-object.ts";
import type { NodeImages } from "./images.ts";
import { type Condition, mergeConditions } from "./pod-status.ts";
import type { KubeletTimes } from "./times.ts";

export const leaseNamespace = "kube-node-lease";

/** A machine on which everything finds room. It is not that of the host: all nodes share that. */
export const defaultCapacity: Readonly<Record<string, string>> = {
  cpu: "64",
  memory: "256Gi",
  "ephemeral-storage": "1Ti",
  pods: "250",
};

export interface HeartbeatOptions {
  readonly api: ClusterApi;
  readonly nodeName: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Instead of the default, by name. */
  readonly capacity?: Readonly<Record<string, string>> | undefined;
  readonly images: NodeImages;
  readonly times: KubeletTimes;
  readonly logger?: Logger | undefined;
}

export class Heartbeat {
  readonly allocatable: Readonly<Record<string, string>>;
  readonly #options: HeartbeatOptions;
  readonly #abort = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.allocatable = { ...defaultCapacity, ...options.capacity };
  }

  start(): void {
    this.#register();
    this.#renew();
    this.#loop = this.#beat();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#loop;
  }

  async #beat(): Promise<void> {
    const { api, times } = this.#options;
    const { signal } = this.#abort;
    try {
      for (;;) {
        await api.clock.sleep(times.heartbeatMs, { signal });
        this.#renewIfPossible();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  #register(): void {
    const { api, nodeName, labels } = this.#options;
    if (api.get("nodes", "", nodeName) === undefined) {
      api.create("nodes", {
        apiVersion: "v1",
        kind: "Node",
        metadata: {
          name: nodeName,
          labels: {
            "kubernetes.io/hostname": nodeName,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": process.arch === "x64" ? "amd64" : process.arch,
            ...labels,
          },
        },
        spec: {},
      });
    }
    api.modify("nodes", "", nodeName, (node) => this.#fillStatus(node), { subresource: "status" });
  }

  #fillStatus(node: StoredObject): void {
    const { api, nodeName, images } = this.#options;
    const conditions: Condition[] = [
      {
        type: "Ready",
        status: "True",
        reason: "KubeletReady",
        message: "kubelet is posting ready status",
      },
      {
        type: "DiskPressure",
        status: "False",
        reason: "KubeletHasNoDiskPressure",
        message: "kubelet has no disk pressure",
      },
      {
        type: "MemoryPressure",
        status: "False",
        reason: "KubeletHasSufficientMemory",
        message: "kubelet has sufficient memory available",
      },
      {
        type: "PIDPressure",
        status: "False",
        reason: "KubeletHasSufficientPID",
        message: "kubelet has sufficient PID available",
      },
    ];
    const lastHeartbeatTime = timestamp(api.clock);
    const merged = mergeConditions(node.status?.conditions ?? [], nowMs(api.clock), conditions);
    node.status = {
      ...node.status,
      capacity: { ...this.allocatable },
      allocatable: { ...this.allocatable },
      addresses: [
        { type: "InternalIP", address: "127.0.0.1" },
        { type: "Hostname", address: nodeName },
      ],
      conditions: merged.map((one) => ({ ...one, lastHeartbeatTime })),
      nodeInfo: {
        architecture: process.arch === "x64" ? "amd64" : process.arch,
        operatingSystem: "linux",
        osImage: "testbed",
        kernelVersion: release(),
        kubeletVersion: "v1.33.1",
        kubeProxyVersion: "",
        containerRuntimeVersion: "process://1",
        bootID: "",
        machineID: "",
        systemUUID: "",
      },
      images: images.names.map((name) => ({ names: [name], sizeBytes: 0 })),
    };
  }

  /** A refusal (somebody deletes the namespace of the leases) costs one beat. */
  #renewIfPossible(): void {
    try {
      this.#renew();
    } catch (error) {
      const { nodeName, logger } = this.#options;
      logger?.warn("Lease of node was not renewed", { node: nodeName, error });
    }
  }

  #renew(): void {
    const { api, nodeName, times } = this.#options;
    const renewTime = microTimestamp(api.clock);
    const renewed = api.modify("leases.coordination.k8s.io", leaseNamespace, nodeName, (lease) => {
      lease.spec.renewTime = renewTime;
    });
    if (renewed === undefined) {
      api.create("leases.coordination.k8s.io", {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name: nodeName, namespace: leaseNamespace },
        spec: {
          holderIdentity: nodeName,
          leaseDurationSeconds: Math.ceil((times.heartbeatMs * 4) / 1000),
          renewTime,
        },
      });
    }
    const node = api.get("nodes", "", nodeName);
    const ready = node?.status?.conditions?.find(({ type }: Condition) => type === "Ready");
    // Somebody took the node for dead while it was not, or its object was deleted.
    if (ready?.status !== "True") this.#register();
  }
}
