/**
 * Images under another name, as a ConfigMap maps parts of their names.
 * Proof: test/restore/actions.test.ts.
 * @module
 */
import type { Container, PodSpec, PodTemplate } from "@dm/crds";
import type { Action, RestoreConfig } from "./action.ts";

export const changePodImages: Action = (object, { settings }) => ({
  ...object,
  spec: renamed(object["spec"] as PodSpec, settings),
});

export const changeTemplateImages: Action = (object, { settings }) => {
  const spec = object["spec"] as { readonly template?: PodTemplate } | undefined;
  return spec?.template ? { ...object, spec: inTemplate(spec, settings) } : object;
};

export const changeCronJobImages: Action = (object, { settings }) => {
  const spec = object["spec"] as
    | { readonly jobTemplate?: { readonly spec?: { readonly template?: PodTemplate } } }
    | undefined;
  const job = spec?.jobTemplate?.spec;
  if (!job?.template) return object;
  const jobTemplate = { ...spec?.jobTemplate, spec: inTemplate(job, settings) };
  return { ...object, spec: { ...spec, jobTemplate } };
};

function inTemplate(spec: { readonly template?: PodTemplate }, settings: RestoreConfig): object {
  const { template } = spec;
  return { ...spec, template: { ...template, spec: renamed(template?.spec, settings) } };
}

function renamed(spec: PodSpec | undefined, { images }: RestoreConfig): PodSpec | undefined {
  if (spec === undefined || images.length === 0) return spec;
  const other = (container: Container): Container => {
    const { image = "" } = container;
    const [from, to] = images.find(([part]) => image.includes(part)) ?? [];
    return from && to ? { ...container, image: image.replaceAll(from, to) } : container;
  };
  return {
    ...spec,
    containers: (spec.containers ?? []).map(other),
    ...(spec.initContainers && { initContainers: spec.initContainers.map(other) }),
  };
}
