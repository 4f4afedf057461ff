// A pod's processes reach the API server as the pod's service account, by files that only their owner can read.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { podDirectory } from "../../src/kubelet/pod-directory.ts";
import { createPod, logOf, openCluster, phase, shell, untilPod } from "./running-cluster.ts";

/** Asks the API server who it is, with what KUBECONFIG says. */
const whoAmI = `
const { readFileSync } = require("node:fs");
const folder = "/var/run/secrets/kubernetes.io/serviceaccount/";
const config = JSON.parse(readFileSync(process.env.KUBECONFIG, "utf8"));
const { server } = config.clusters[0].cluster;
const { token } = config.users[0].user;
const secure = server.startsWith("https:");
const options = {
  method: "POST",
  headers: { authorization: "Bearer " + token, "content-type": "application/json" },
  ...(secure ? { ca: readFileSync(folder + "ca.crt") } : {}),
};
const url = server + "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const request = require(secure ? "node:https" : "node:http").request(url, options, async (answer) => {
  const { status } = JSON.parse(Buffer.concat(await Array.fromAsync(answer)).toString());
  const same = readFileSync(folder + "token", "utf8") === token;
  console.log(status.userInfo.username, same, config.contexts[0].context.namespace);
});
request.end(JSON.stringify({ apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" }));`;

it("speaks as its service account", async () => {
  const cluster = await openCluster();
  cluster.api.create("serviceaccounts", {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "mover", namespace: "default" },
  });
  const node = { name: "main", image: "node", imagePullPolicy: "Never", args: ["-e", whoAmI] };
  createPod(cluster.api, "a", { serviceAccountName: "mover", containers: [node] });
  createPod(cluster.api, "b", { containers: [node] });
  const pod = await untilPod(cluster.api, "a", phase("Succeeded"));
  expect(await logOf(cluster, "a")).toBe("system:serviceaccount:default:mover true default\n");
  await untilPod(cluster.api, "b", phase("Succeeded"));
  expect(await logOf(cluster, "b")).toBe("system:serviceaccount:default:default true default\n");
  const place = podDirectory(cluster.node("node-1").root, pod).volume(
    "projected",
    "kube-api-access",
  );
  expect((await stat(place)).mode & 0o777).toBe(0o700);
  for (const name of ["token", "kubeconfig", "namespace"]) {
    expect((await stat(join(place, name))).mode & 0o777, name).toBe(0o600);
  }
});

it("has none when the pod wants none", async () => {
  const cluster = await openCluster();
  createPod(cluster.api, "a", {
    automountServiceAccountToken: false,
    containers: [
      shell("env | grep KUBECONFIG; ls /var/run/secrets/kubernetes.io 2>/dev/null; true"),
    ],
  });
  await untilPod(cluster.api, "a", phase("Succeeded"));
  expect(await logOf(cluster, "a")).toBe("");
});
