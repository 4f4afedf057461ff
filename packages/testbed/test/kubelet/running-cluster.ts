/** A cluster whose pods are real processes, with short pauses, and ways to wait for what happens in it. */
import { execFile } from "node:child_process";
import { onTestFinished } from "vitest";
import { type Cluster, type ClusterOptions, startCluster } from "../../src/cluster.ts";
import type { ClusterApi } from "../../src/cluster-api.ts";
import type { Json, StoredObject } from "../../src/kube-object.ts";

/** Pauses are as short as they can be without mixing up what is to be seen. */
export const quickTimes = {
  shortestGraceMs: 500,
  restartMs: 20,
  longestRestartMs: 100,
  pullRetryMs: 50,
  longestPullRetryMs: 50,
  mountRetryMs: 20,
  longestMountRetryMs: 40,
  retryMs: 20,
};

/** Closed when the test ends. */
export async function openCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const cluster = await startCluster({
    images: { sh: ["/bin/sh", "-c"], host: [], node: [process.execPath] },
    csi: false,
    ...options,
    times: { ...quickTimes, ...options.times },
  });
  onTestFinished(() => cluster.close());
  return cluster;
}

/** The first state of any object of the resource that satisfies; told by watches, not by asking again. */
export function until(
  api: ClusterApi,
  resource: string,
  satisfies: (object: StoredObject, type: string) => boolean,
): Promise<StoredObject> {
  return new Promise((resolve, reject) => {
    const stop = api.watch(resource, ({ type, object }) => {
      try {
        if (!satisfies(object, type)) return;
        resolve(object);
      } catch (error) {
        reject(error);
      }
      stop();
    });
  });
}

export function untilPod(
  api: ClusterApi,
  name: string,
  satisfies: (pod: StoredObject) => boolean,
): Promise<StoredObject> {
  return until(
    api,
    "pods",
    (pod, type) => type !== "DELETED" && pod.metadata.name === name && satisfies(pod),
  );
}

/** Fails at once when the pod has ended in another way. */
export const phase =
  (wanted: string) =>
  ({ metadata, status }: StoredObject): boolean => {
    if (status?.phase === wanted) return true;
    if (status?.phase === "Succeeded" || status?.phase === "Failed") {
      throw new Error(`pod ${metadata.name} is ${status.phase}: ${JSON.stringify(status)}`);
    }
    return false;
  };

export async function untilGone(api: ClusterApi, name: string): Promise<void> {
  if (api.get("pods", "default", name) === undefined) return;
  await until(api, "pods", (pod, type) => type === "DELETED" && pod.metadata.name === name);
}

export function createPod(api: ClusterApi, name: string, spec: object): StoredObject {
  return api.create("pods", {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels: { app: name } },
    spec: { restartPolicy: "Never", ...spec },
  });
}

/** A container that runs a shell script. */
export function shell(script: string, extra: object = {}): Json {
  return { name: "main", image: "sh", imagePullPolicy: "IfNotPresent", args: [script], ...extra };
}

/** Does nothing, and ends at once when asked to. */
export const sleeper = "exec sleep 600";

export function containerOf(pod: StoredObject, name = "main"): Json {
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  return [...containerStatuses, ...initContainerStatuses].find((one: Json) => one.name === name);
}

export function eventReasons(api: ClusterApi, name: string): string[] {
  return api
    .list("events", "default")
    .filter((event) => event["involvedObject"].name === name)
    .map((event) => event["reason"]);
}

export async function logOf(cluster: Cluster, name: string, previous = false): Promise<string> {
  const pod = cluster.api.get("pods", "default", name);
  if (pod === undefined) throw new Error(`no pod ${name}`);
  const { uid } = pod.metadata;
  const { nodeName, containers } = pod.spec;
  const { kubelet } = cluster.node(nodeName);
  if (kubelet === undefined) throw new Error(`no kubelet on ${nodeName}`);
  let text = "";
  const target = { namespace: "default", name, uid, nodeName, container: containers[0].name };
  for await (const chunk of kubelet.log(target, {
    follow: false,
    previous,
    timestamps: false,
    tailLines: undefined,
    limitBytes: undefined,
    sinceSeconds: undefined,
    sinceTime: undefined,
    signal: new AbortController().signal,
  })) {
    text += Buffer.from(chunk).toString();
  }
  return text;
}

/** Waits until the pod's process has printed so far. */
export async function untilLog(cluster: Cluster, name: string, text: string): Promise<void> {
  while (!(await logOf(cluster, name)).includes(text)) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function kubectl(
  path: string,
  cluster: Cluster,
  args: readonly string[],
  input?: string,
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const cache = `${cluster.directory}/kubectl-cache`;
    const child = execFile(
      path,
      ["--kubeconfig", cluster.kubeconfig, "--cache-dir", cache, ...args],
      { encoding: "utf8" },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
        resolve({ code, stdout, stderr });
      },
    );
    child.stdin?.end(input ?? "");
  });
}
