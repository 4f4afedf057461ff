/** Changes that others make at the same time survive ours, and ours theirs: on the embedded API server. */
import { isDmError } from "@dm/core";
import { type ConfigMap, configMaps, dataUploads, nodes, pods } from "@dm/crds";
import { describe, expect, it } from "vitest";
import {
  addFinalizer,
  type ConditionState,
  hasFinalizer,
  isDeleting,
  isTrue,
  kubeTime,
  ownerKeys,
  ownerReferenceTo,
  removeFinalizer,
  withCondition,
} from "../../src/runtime/objects.ts";
import { retryOnConflict } from "../../src/runtime/retry-on-conflict.ts";
import { configMap, setValue, type TestApi, testApi, valueIn } from "./api.ts";

const key = { namespace: "default", name: "a" };

async function withMap(): Promise<TestApi> {
  const api = await testApi();
  api.cluster.create("configmaps", configMap("a", "1"));
  return api;
}

const current = (api: TestApi): ConfigMap =>
  api.cluster.get("configmaps", "default", "a") as unknown as ConfigMap;

const setTo = (value: string) => (map: ConfigMap) => {
  map.data = { ...map.data, value };
  return map;
};

describe("row 56: changing with retries", () => {
  it("reads again when someone was faster, decides again, and loses nobody's change", async () => {
    const api = await withMap();
    let conflicts = 0;
    let tries = 0;
    api.proxy.before = ({ method }) => {
      if (method !== "PUT" || tries++ >= 3) return;
      api.cluster.modify("configmaps", "default", "a", (object) => {
        object["data"] = { value: "1", [`edit${tries}`]: "by a user" };
      });
    };
    const seen: unknown[] = [];
    const change = (map: ConfigMap): ConfigMap => {
      seen.push(Object.keys(map.data ?? {}));
      return setTo("2")(map);
    };
    const onConflict = (): void => {
      conflicts += 1;
    };
    const written = await retryOnConflict(api.client, configMaps, key, change, { onConflict });
    expect(conflicts).toBe(3);
    expect(seen).toEqual([["value"], ["value", "edit1"], ["value", "edit2"], ["value", "edit3"]]);
    expect(written?.data).toEqual({ value: "2", edit3: "by a user" });
    expect(current(api).data).toEqual(written?.data);
  });

  it("gives up what the change no longer wants: a final state is not overwritten", async () => {
    const api = await withMap();
    api.proxy.before = ({ method }) => {
      if (method === "PUT") setValue(api.cluster, "a", "final");
    };
    const change = (map: ConfigMap): ConfigMap | undefined =>
      valueIn(map) === "final" ? undefined : setTo("2")(map);
    expect(await retryOnConflict(api.client, configMaps, key, change)).toBeUndefined();
    expect(valueIn(current(api))).toBe("final");
  });

  it("gives up in the end", async () => {
    const api = await withMap();
    let edit = 0;
    api.proxy.before = ({ method }) => {
      if (method === "PUT") setValue(api.cluster, "a", `edit${edit++}`);
    };
    const stubborn = retryOnConflict(api.client, configMaps, key, setTo("2"), {
      attempts: 3,
      clock: api.clock,
    }).catch((error: unknown) => error);
    await api.until(() => edit === 3);
    expect(await stubborn).toSatisfy((error) => isDmError(error, "DM_KUBE_CONFLICT"));
  });

  it("writes nothing when nothing changes, and knows what is not there", async () => {
    const api = await withMap();
    const { resourceVersion } = current(api).metadata;
    const same = await retryOnConflict(api.client, configMaps, key, setTo("1"));
    expect(valueIn(same!)).toBe("1");
    expect(current(api).metadata.resourceVersion).toBe(resourceVersion);
    expect(api.proxy.seen.map(({ method }) => method)).toEqual(["GET"]);
    const missing = { ...key, name: "b" };
    expect(await retryOnConflict(api.client, configMaps, missing, setTo("1"))).toBeUndefined();
    api.proxy.before = ({ method }) => {
      if (method === "PUT") api.cluster.delete("configmaps", "default", "a");
    };
    expect(await retryOnConflict(api.client, configMaps, key, setTo("2"))).toBeUndefined();
  });

  it("by many at once ends with all changes", async () => {
    const api = await withMap();
    const writers = Array.from({ length: 8 }, (_, at) => `w${at}`);
    let done = 0;
    const all = writers.map(async (name) => {
      const change = (map: ConfigMap): ConfigMap => {
        map.data = { ...map.data, [name]: "written" };
        return map;
      };
      await retryOnConflict(api.client, configMaps, key, change, {
        attempts: 50,
        clock: api.clock,
      });
      done += 1;
    });
    await api.until(() => done === writers.length);
    await Promise.all(all);
    expect(Object.keys(current(api).data ?? {}).sort()).toEqual(["value", ...writers].sort());
  });
});

describe("finalizers", () => {
  it("hold an object until they are taken away", async () => {
    const api = await withMap();
    const added = await addFinalizer(api.client, configMaps, key, "dm.io/hold");
    expect(hasFinalizer(added!, "dm.io/hold")).toBe(true);
    await addFinalizer(api.client, configMaps, key, "dm.io/hold");
    await addFinalizer(api.client, configMaps, key, "dm.io/other");
    expect(current(api).metadata.finalizers).toEqual(["dm.io/hold", "dm.io/other"]);
    expect(isDeleting(current(api))).toBe(false);
    await api.client.delete(configMaps, key);
    expect(isDeleting(current(api))).toBe(true);
    expect(await addFinalizer(api.client, configMaps, key, "dm.io/late")).toBeUndefined();
    await removeFinalizer(api.client, configMaps, key, "dm.io/other");
    await removeFinalizer(api.client, configMaps, key, "dm.io/not-there");
    expect(current(api).metadata.finalizers).toEqual(["dm.io/hold"]);
    await removeFinalizer(api.client, configMaps, key, "dm.io/hold");
    expect(current(api)).toBeUndefined();
    await removeFinalizer(api.client, configMaps, key, "dm.io/hold");
  });
});

describe("owners", () => {
  it("are referred to by uid, and found again from what they own", () => {
    const upload = { metadata: { namespace: "velero", name: "du1", uid: "u1" }, spec: {} };
    const reference = ownerReferenceTo(dataUploads, upload as never);
    expect(reference).toEqual({
      apiVersion: "velero.io/v2alpha1",
      kind: "DataUpload",
      name: "du1",
      uid: "u1",
      controller: true,
    });
    const plain = ownerReferenceTo(dataUploads, upload as never, {
      controller: false,
      blockOwnerDeletion: true,
    });
    expect(plain).toMatchObject({ blockOwnerDeletion: true });
    expect(plain.controller).toBeUndefined();
    const pod = { metadata: { namespace: "velero", name: "p", ownerReferences: [reference] } };
    expect(ownerKeys(pod, dataUploads)).toEqual([{ namespace: "velero", name: "du1" }]);
    expect(ownerKeys(pod, pods)).toEqual([]);
    expect(ownerKeys({ metadata: {} }, nodes)).toEqual([]);
    expect(() => ownerReferenceTo(configMaps, { metadata: { name: "p" } })).toThrow(TypeError);
  });
});

describe("conditions", () => {
  const first = new Date("2026-01-01T00:00:00.900Z");
  const later = new Date("2026-01-01T01:00:00Z");
  const ready = { type: "Ready", status: "True", reason: "AllWell" };

  it("keep the time of their last transition while their status stays", () => {
    const one = withCondition<ConditionState>(undefined, ready, first);
    expect(one).toEqual([{ ...ready, lastTransitionTime: "2026-01-01T00:00:00Z" }]);
    const message = withCondition(one, { ...ready, message: "still" }, later);
    expect(message[0]).toMatchObject({
      message: "still",
      lastTransitionTime: "2026-01-01T00:00:00Z",
    });
    const changed = withCondition(message, { type: "Ready", status: "False" }, later);
    expect(changed[0]).toMatchObject({ status: "False", lastTransitionTime: kubeTime(later) });
    const two = withCondition(changed, { type: "Valid", status: "True" }, later);
    expect(two.map(({ type }) => type)).toEqual(["Ready", "Valid"]);
    expect([isTrue(two, "Ready"), isTrue(two, "Valid"), isTrue(two, "Other")]).toEqual([
      false,
      true,
      false,
    ]);
  });

  it("that are set already are the list itself", () => {
    const one = withCondition<ConditionState>([], ready, first);
    expect(withCondition<ConditionState>(one, { ...ready }, later)).toBe(one);
  });
});
