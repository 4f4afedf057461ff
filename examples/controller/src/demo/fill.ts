/**
 * The two ways by which files come into the volumes of the demo.
 * Proof: test/demo.test.ts, test/existing-cluster.test.ts.
 * @module
 */
import { sendFiles, sendImage } from "../demo-pod/receive-files.ts";
import { execWithInput } from "./exec-pod.ts";
import type { Stage } from "./stage.ts";
import type { Filler } from "./story.ts";
import { type DemoVolume, deletePod, mountPath, runPod, startPod } from "./volumes.ts";

/** Pods of the embedded cluster are processes of this machine, and read the source themselves. */
export function localFiller(stage: Stage): Filler {
  const run = ({ claim, volumeMode }: DemoVolume, args: readonly string[]): Promise<string> =>
    runPod(stage, { name: `fill-${claim}`, claim, volumeMode, args });
  return {
    files: (volume, sources, limitBytes) =>
      run(volume, ["fill", "--to", "VOLUME", "--limit", String(limitBytes), ...sources]),
    image: (volume, file) => run(volume, ["fill-device", "--to", "VOLUME", file]),
  };
}

/** Pods elsewhere are sent what they are to hold. */
export function sendingFiller(stage: Stage, kubeconfig: string): Filler {
  const send = async (
    { claim, volumeMode }: DemoVolume,
    input: AsyncIterable<Buffer>,
  ): Promise<string> => {
    const pod = `fill-${claim}`;
    await startPod(stage, { name: pod, claim, volumeMode, args: ["wait"] });
    const command = [...stage.pod.command, "receive", "--to", mountPath];
    const { namespace, signal } = stage;
    const target = { kubeconfig, namespace, pod, container: "demo", command, signal };
    const printed = await execWithInput(target, input);
    await deletePod(stage, pod);
    return printed;
  };
  return {
    files: (volume, sources, limitBytes) => send(volume, sendFiles(sources, limitBytes)),
    image: (volume, file) => send(volume, sendImage(file)),
  };
}
