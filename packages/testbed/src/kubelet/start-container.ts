/**
 * One start of one container: image, environment, command line with the host's paths, process, probes.
 * Proof: test/kubelet/pod-lifecycle.test.ts.
 * @module
 */
import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { StoredObject } from "../kube-object.ts";
import {
  ContainerConfigError,
  containerEnvironment,
  expandReferences,
} from "./container-environment.ts";
import { pullPolicy, type ResolvedImage } from "./images.ts";
import { hostPathOf, type PathMapping, pathRewriter } from "./path-rewriting.ts";
import type { PodContainer } from "./pod-container.ts";
import type { PodDirectory } from "./pod-directory.ts";
import type { MountedVolume } from "./pod-volumes.ts";
import type { PodWorkerContext } from "./pod-worker.ts";
import { runProbe } from "./probes.ts";
import { type ServiceAccountFiles, serviceAccountPath } from "./service-account-files.ts";

export interface StartContext extends PodWorkerContext {
  readonly pod: StoredObject;
  readonly directory: PodDirectory;
  readonly mounted: ReadonlyMap<string, MountedVolume>;
  readonly serviceAccount: ServiceAccountFiles | undefined;
  readonly podIP: string;
  record(type: "Normal" | "Warning", reason: string, message: string): void;
  wake(): void;
}

/** Why a container was not started, and after how long to try again; without a time, something else must change. */
export interface StartRefusal {
  readonly waiting: { readonly reason: string; readonly message?: string };
  readonly retryMs?: number;
}

export async function startPodContainer(
  one: PodContainer,
  context: StartContext,
): Promise<StartRefusal | undefined> {
  const { pod, runtime, directory, record, times } = context;
  const { spec } = one;
  const image = findImage(one, context);
  if ("waiting" in image) return image;
  for (const fault of context.startFaults) {
    const refusal = fault(pod, spec.name);
    if (refusal === undefined) continue;
    if (refusal === "hang") return { waiting: { reason: "ContainerCreating" } };
    record("Warning", "Failed", `Error: ${refusal.message}`);
    return { waiting: refusal, retryMs: times.retryMs };
  }
  const attempt = one.attempt + 1;
  const messagePath: string = spec.terminationMessagePath ?? "/dev/termination-log";
  const messageFile = directory.terminationMessage(spec.name, attempt);
  const home = join(directory.container(spec.name), "home");
  await mkdir(home, { recursive: true });
  await rm(messageFile, { force: true });

  let raw: Record<string, string>;
  let mappings: PathMapping[];
  const base = baseEnvironment(context, image, home);
  try {
    raw = containerEnvironment(spec, context, base);
    mappings = [
      { containerPath: messagePath, hostPath: messageFile },
      ...(await volumeMappings(spec, context, raw)),
    ];
  } catch (error) {
    if (!(error instanceof ContainerConfigError)) throw error;
    record("Warning", "Failed", `Error: ${error.message}`);
    return {
      waiting: { reason: "CreateContainerConfigError", message: error.message },
      retryMs: times.retryMs,
    };
  }
  const rewrite = pathRewriter(mappings);
  const env: Record<string, string> = { ...base };
  const temporary = mappings.find(({ containerPath }) => containerPath === "/tmp");
  if (temporary !== undefined) env["TMPDIR"] = temporary.hostPath;
  for (const [name, value] of Object.entries(raw)) {
    // What we set ourselves are paths of the host already.
    if (base[name] !== value) env[name] = rewrite(value);
  }
  if (context.serviceAccount !== undefined) {
    env["KUBECONFIG"] = context.serviceAccount.kubeconfigPath;
  }
  const words = [...(spec.command ?? []), ...(spec.args ?? [])].map((word: string) =>
    rewrite(expandReferences(word, raw)),
  );
  const hasCommand = (spec.command ?? []).length > 0;
  const argv = image.isEntrypoint && hasCommand ? words : [...image.argv, ...words];
  if (argv.length === 0) {
    const message = `no command specified for image "${spec.image}"`;
    record("Warning", "Failed", `Error: ${message}`);
    return { waiting: { reason: "CreateContainerError", message }, retryMs: times.retryMs };
  }
  record("Normal", "Created", `Created container: ${spec.name}`);
  one.lengthenRestart(times);
  const container = await runtime.start({
    podUid: pod.metadata.uid,
    name: spec.name,
    attempt,
    argv,
    env,
    workingDirectory: await workingDirectory(spec.workingDir, mappings, home),
    logPath: directory.log(spec.name, attempt),
    terminationMessagePath: messageFile,
    pathMappings: mappings,
    writableVolumes: writableVolumes(spec, context),
  });
  one.started(container);
  if (container.exit?.startError !== undefined) {
    record("Warning", "Failed", `Error: ${container.exit.startError}`);
  } else {
    record("Normal", "Started", `Started container ${spec.name}`);
    startProbes(one, context);
  }
  return undefined;
}

function findImage(one: PodContainer, context: StartContext): ResolvedImage | StartRefusal {
  const { images, record, times } = context;
  const { image } = one.spec;
  const policy = pullPolicy(one.spec);
  const present = images.find(image);
  if (present !== undefined && policy !== "Always") {
    record("Normal", "Pulled", `Container image "${image}" already present on machine`);
    return present;
  }
  if (policy === "Never") {
    const message = `Container image "${image}" is not present with pull policy of Never`;
    record("Warning", "ErrImageNeverPull", message);
    record("Warning", "Failed", "Error: ErrImageNeverPull");
    return { waiting: { reason: "ErrImageNeverPull", message }, retryMs: times.retryMs };
  }
  record("Normal", "Pulling", `Pulling image "${image}"`);
  const pulled = images.pull(image);
  if (pulled !== undefined) {
    record("Normal", "Pulled", `Successfully pulled image "${image}"`);
    one.pullDelayMs = 0;
    return pulled;
  }
  const message = `failed to pull and unpack image "${image}": not found`;
  record("Warning", "Failed", `Failed to pull image "${image}": ${message}`);
  record("Warning", "Failed", "Error: ErrImagePull");
  one.pullDelayMs = Math.min(
    Math.max(times.pullRetryMs, one.pullDelayMs * 2),
    times.longestPullRetryMs,
  );
  return { waiting: { reason: "ErrImagePull", message }, retryMs: one.pullDelayMs };
}

/** Nothing of this process's own environment but where programs are. */
function baseEnvironment(
  { api, pod }: StartContext,
  image: ResolvedImage,
  home: string,
): Record<string, string> {
  const url = new URL(api.url);
  return {
    PATH: process.env["PATH"] ?? "/usr/bin:/bin",
    HOME: home,
    TMPDIR: home,
    HOSTNAME: pod.spec?.hostname ?? pod.metadata.name,
    KUBERNETES_SERVICE_HOST: url.hostname,
    KUBERNETES_SERVICE_PORT: url.port,
    ...image.env,
  };
}

async function volumeMappings(
  spec: StartContext["pod"]["spec"],
  { mounted, serviceAccount }: StartContext,
  env: Readonly<Record<string, string>>,
): Promise<PathMapping[]> {
  const mappings: PathMapping[] = [];
  if (serviceAccount !== undefined) {
    mappings.push({ containerPath: serviceAccountPath, hostPath: serviceAccount.directory });
  }
  for (const { name, mountPath, subPath, subPathExpr } of spec.volumeMounts ?? []) {
    const volume = mounted.get(name);
    if (volume === undefined) {
      throw new ContainerConfigError(`no volume named "${name}" for mount path "${mountPath}"`);
    }
    const under = subPath ?? (subPathExpr && expandReferences(subPathExpr, env)) ?? "";
    if (under.split("/").includes("..")) {
      throw new ContainerConfigError(`subPath "${under}" must not contain ".."`);
    }
    const hostPath = under === "" ? volume.hostPath : join(volume.hostPath, under);
    if (under !== "" && !volume.readOnly) {
      const there = await stat(hostPath).catch(() => undefined);
      if (there === undefined) await mkdir(hostPath, { recursive: true });
    }
    mappings.push({ containerPath: mountPath, hostPath });
  }
  for (const { name, devicePath } of spec.volumeDevices ?? []) {
    const volume = mounted.get(name);
    if (volume === undefined) {
      throw new ContainerConfigError(`no volume named "${name}" for device path "${devicePath}"`);
    }
    mappings.push({ containerPath: devicePath, hostPath: volume.hostPath });
  }
  return mappings;
}

async function workingDirectory(
  wanted: string | undefined,
  mappings: readonly PathMapping[],
  home: string,
): Promise<string> {
  if (wanted === undefined) return home;
  const onHost = hostPathOf(wanted, mappings) ?? wanted;
  const there = await stat(onHost).catch(() => undefined);
  return there?.isDirectory() === true ? onHost : home;
}

function writableVolumes(
  spec: StartContext["pod"]["spec"],
  { mounted }: StartContext,
): readonly string[] {
  const names = new Set<string>();
  for (const { name, readOnly } of [...(spec.volumeMounts ?? []), ...(spec.volumeDevices ?? [])]) {
    const volume = mounted.get(name);
    if (volume?.volumeName === undefined || volume.readOnly || readOnly === true) continue;
    names.add(volume.volumeName);
  }
  return [...names];
}

/** Also of a container that another kubelet started. */
export function startProbes(one: PodContainer, context: StartContext): void {
  const { api, runtime, podIP, record, wake, times } = context;
  const { spec, container } = one;
  if (container === undefined) return;
  const abort = new AbortController();
  one.probes = abort;
  const rewrite = pathRewriter(container.spec.pathMappings);
  const target = {
    host: podIP,
    container: spec,
    exec: async (command: readonly string[], signal: AbortSignal) => {
      const child = runtime.run(container, command.map(rewrite), { stdin: false });
      const onAbort = (): void => void child.kill("SIGKILL");
      signal.addEventListener("abort", onAbort, { once: true });
      let output = "";
      child.stdout?.on("data", (chunk) => {
        output += chunk;
      });
      child.stderr?.on("data", (chunk) => {
        output += chunk;
      });
      const code = await new Promise<number>((resolve) => {
        child.once("error", () => resolve(126));
        child.once("close", (exitCode) => resolve(exitCode ?? 137));
      });
      signal.removeEventListener("abort", onAbort);
      return { code, output };
    },
  };
  const run = (probe: unknown, tell: Parameters<typeof runProbe>[1]["tell"], signal: AbortSignal) =>
    void runProbe(probe, { clock: api.clock, target, signal, tell });
  const unhealthy = (kind: string, message: string): void =>
    record("Warning", "Unhealthy", `${kind} probe failed: ${message}`);
  const restart = (kind: string): void => {
    record("Normal", "Killing", `Container ${spec.name} failed ${kind} probe, will be restarted`);
    abort.abort();
    runtime.signal(container.id, "SIGTERM");
    const graceMs = Math.max(
      (context.pod.spec?.terminationGracePeriodSeconds ?? 30) * 1000,
      times.shortestGraceMs,
    );
    const waited = new AbortController();
    void container.exited.then(() => waited.abort());
    api.clock.sleep(graceMs, { signal: waited.signal }).then(
      () => runtime.signal(container.id, "SIGKILL"),
      () => {},
    );
  };
  const startOthers = (): void => {
    if (spec.readinessProbe !== undefined) {
      run(
        spec.readinessProbe,
        ({ ok, counted, message }) => {
          if (!ok) unhealthy("Readiness", message);
          if (!counted || one.probedReady === ok) return;
          one.probedReady = ok;
          wake();
        },
        abort.signal,
      );
    }
    if (spec.livenessProbe !== undefined) {
      run(
        spec.livenessProbe,
        ({ ok, counted, message }) => {
          if (ok) return;
          unhealthy("Liveness", message);
          if (counted) restart("liveness");
        },
        abort.signal,
      );
    }
  };
  if (spec.startupProbe === undefined) {
    startOthers();
    return;
  }
  const startup = new AbortController();
  run(
    spec.startupProbe,
    ({ ok, counted, message }) => {
      if (!ok) unhealthy("Startup", message);
      if (!counted) return;
      startup.abort();
      if (ok) startOthers();
      else restart("startup");
    },
    AbortSignal.any([abort.signal, startup.signal]),
  );
}
